"""C sources as shared libraries: compiled for this processor at first use, once, into the user's cache folder.

Whoever loads one has the same work in Python too, for machines without a compiler, and tests that compare the two.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

SWITCH = "GENOMIX_NATIVE"
"""Environment variable; 0 leaves all work to Python."""
FLAGS = ("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
"""Not -ffast-math: a library linked with it turns off subnormal numbers in the whole process, and takes infinity and NaN for impossible."""
_TRIED = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",))
"""One after the other: Apple's compiler knows no OpenMP, and older ones for ARM no -march=native."""


def switched_off() -> bool:
    """Whether the user wants no compiled code."""
    return os.environ.get(SWITCH) == "0"


def compiled(sources: Sequence[Path]) -> ctypes.CDLL:
    """The library made of the first of these files.

    Args:
        sources: the others are what it includes.

    Raises:
        OSError: there is no compiler, or it failed.
    """
    return ctypes.CDLL(str(_cached(sources)))


def _cached(sources: Sequence[Path]) -> Path:
    """Where the library is, compiled if need be."""
    content = b"".join(path.read_bytes() for path in sources)
    name = hashlib.sha256(content + "\n".join([*FLAGS, _processor()]).encode()).hexdigest()[:16]
    path = user_cache_path("genomix") / "native" / f"{sources[0].stem}-{name}.so"
    if path.is_file():
        return path
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        said = []
        for extra in _TRIED:
            command = [compiler, *FLAGS, *extra, "-o", str(made), str(sources[0])]
            # No shell and nothing of a user's input: the compiler that was found, and our own file. Its failure is not ours: the next flags are tried.
            found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            if found.returncode == 0:
                made.replace(path)  # whole or absent, also when several processes compile at once
                return path
            said.append(found.stderr.strip() or f"exit code {found.returncode}")
    raise OSError(f"{compiler} could not compile it: {said[0].splitlines()[-1]}")


@cache
def _processor() -> str:
    """What decides which instructions there are: a cache folder may be shared by a cluster's machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))})])
