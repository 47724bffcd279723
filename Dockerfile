# An image with genomix in it: target `cpu`, which is the one that is built when none is named, or `cuda`.
#
#   docker build --build-arg PIP_EXTRA_INDEX_URL=INDEX -t genomix .        INDEX: PyTorch's index of CPU builds, whose address pytorch.org gives
#   docker build --target cuda -t genomix:cuda .
#
# The base may be any Debian image that has Python 3.11 or newer as `python3`. docs/design/image.md says why things are as they are.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# ---- what compiles and installs: nothing of it stays but the environment /genomix ---------------------------------------------------------------------

FROM ${BASE_IMAGE} AS build
SHELL ["/bin/sh", "-euc"]
# Debian keeps no older versions that one could pin. The official images have all but the compiler; Debian's own Python comes without ensurepip.
# hadolint ignore=DL3008
RUN apt-get update; \
    apt-get install -y --no-install-recommends gcc libc6-dev; \
    python3 -c "import ensurepip" 2>/dev/null || apt-get install -y --no-install-recommends python3-venv; \
    rm -rf /var/lib/apt/lists/*; \
    python3 -m venv /builder; \
    python3 -m venv /genomix
# Where pip looks beside its usual index: another index, or a folder of wheels that is mounted while the image is built.
ARG PIP_EXTRA_INDEX_URL=
ARG PIP_FIND_LINKS=
ENV PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL} \
    PIP_FIND_LINKS=${PIP_FIND_LINKS} \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY constraints.txt ./

# Apart from the environments, so that a change of the program doesn't install torch again.
FROM build AS wheel
RUN /builder/bin/pip install -c constraints.txt hatchling
COPY pyproject.toml README.md LICENSE ./
COPY genomix genomix
COPY models models
COPY data_manifests data_manifests
RUN /builder/bin/hatchling build --target wheel --directory /wheels

# PyTorch calls its builds without CUDA `+cpu`. Where pip finds none it stops here, rather than take gigabytes of CUDA libraries.
FROM build AS environment-cpu
RUN /genomix/bin/pip install -c constraints.txt "$(sed -n 's/^torch==.*/&+cpu/p' constraints.txt)"
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /genomix/bin/pip install -c constraints.txt /wheels/*.whl; \
    /genomix/bin/python -c 'from genomix.native import portable, sequences; from genomix.nn.ops.native import compiled; portable.make(sequences.SOURCES); portable.make(compiled.SOURCES)'; \
    /genomix/bin/pip uninstall -y pip

FROM build AS environment-cuda
RUN /genomix/bin/pip install -c constraints.txt torch; \
    /genomix/bin/python -c 'import torch; assert torch.version.cuda, f"torch {torch.__version__} is no CUDA build"'
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /genomix/bin/pip install -c constraints.txt /wheels/*.whl; \
    /genomix/bin/python -c 'from genomix.native import portable, sequences; from genomix.nn.ops.native import compiled; portable.make(sequences.SOURCES); portable.make(compiled.SOURCES)'; \
    /genomix/bin/pip uninstall -y pip

# ---- what is shipped ------------------------------------------------------------------------------------------------------------------------------------

FROM ${BASE_IMAGE} AS runtime
ARG BASE_IMAGE
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
ARG SOURCE_URL=
LABEL org.opencontainers.image.title="genomix" \
      org.opencontainers.image.description="Classify very long DNA and RNA sequences with Paramixer networks" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE_URL}" \
      org.opencontainers.image.authors="The genomix developers" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
# BioContainers' names; the underscores are theirs.
# hadolint ignore=DL3048
LABEL base_image="${BASE_IMAGE}" \
      version="1" \
      software="genomix" \
      software.version="${VERSION}" \
      about.summary="Classify very long DNA and RNA sequences with Paramixer networks" \
      about.home="${SOURCE_URL}" \
      about.documentation="https://arxiv.org/abs/2204.10670" \
      about.license="SPDX:MIT" \
      about.license_file="/genomix/LICENSE" \
      about.tags="genomics, DNA, sequence classification, deep learning" \
      maintainer="The genomix developers"
# Any user id will do, also one without a name: caches go where all may write, and what asks for the user's name finds one.
ENV PATH=/genomix/bin:$PATH \
    HOME=/tmp \
    USER=genomix \
    PYTHONDONTWRITEBYTECODE=1
COPY LICENSE /genomix/LICENSE
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["genomix"]
CMD ["--help"]
HEALTHCHECK --interval=5m --timeout=1m --start-period=1m CMD ["genomix", "doctor"]

# No compiler: what C there is has been compiled above.
FROM runtime AS cpu
COPY --from=environment-cpu /genomix /genomix

# The GPU kernels are Triton's, which compiles a launcher for each at run time: with a C compiler, against Python's headers. Debian's Python has them apart.
FROM runtime AS cuda
USER 0
SHELL ["/bin/sh", "-euc"]
# hadolint ignore=DL3008
RUN apt-get update; \
    apt-get install -y --no-install-recommends gcc libc6-dev; \
    test -e "$(python3 -c 'import sysconfig; print(sysconfig.get_config_var("INCLUDEPY"))')/Python.h" \
        || apt-get install -y --no-install-recommends libpython3-dev; \
    rm -rf /var/lib/apt/lists/*
COPY --from=environment-cuda /genomix /genomix
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532

# What is built when no target is named. It stands here and not first because older builders build every stage above the target.
FROM cpu
