"""factor.c as a shared library: compiled for this processor, once, into the user's cache folder."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

_log = logging.getLogger(__name__)

SOURCE = Path(__file__).parent / "factor.c"
_HEADER = Path(__file__).parent / "vectors.h"
_FLAGS = ("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
"""Not -ffast-math: a library linked with it turns off subnormal numbers in the whole process, and takes infinity and NaN for impossible."""
_TRIED = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",))
"""One after the other: Apple's compiler knows no OpenMP, and older ones for ARM no -march=native."""


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where it can't be had, which a log line then tells once."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    try:
        path = _cached(compiler)
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        _log.info("no compiled factor (%s): plain torch does its work, more slowly", error)
        return None
    loaded.work_size.argtypes, loaded.work_size.restype, loaded.tile_size.restype = [ctypes.c_void_p], ctypes.c_int64, ctypes.c_int64
    for call in (loaded.forward, loaded.backward, loaded.backward_values):
        call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p], None
    return loaded


def _cached(compiler: str | None) -> Path:
    """Where the library is, compiled if need be.

    Raises:
        OSError: there is no compiler, or it failed.
    """
    source = SOURCE.read_bytes() + _HEADER.read_bytes()
    name = hashlib.sha256(source + "\n".join([*_FLAGS, _processor()]).encode()).hexdigest()[:16]
    path = user_cache_path("genomix") / "native" / f"factor-{name}.so"
    if path.is_file():
        return path
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        said = []
        for extra in _TRIED:
            command = [compiler, *_FLAGS, *extra, "-o", str(made), str(SOURCE)]
            # No shell and nothing of a user's input: the compiler that was found, and our own file. Its failure is not ours: the next flags are tried.
            found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            if found.returncode == 0:
                made.replace(path)  # whole or absent, also when several processes compile at once
                return path
            said.append(found.stderr.strip() or f"exit code {found.returncode}")
    raise OSError(f"{compiler} could not compile it: {said[0].splitlines()[-1]}")


def _processor() -> str:
    """What decides which instructions there are: a cache folder may be shared by a cluster's machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))})])
