"""C sources compiled ahead, for kinds of processors and not for one: what an image without a compiler brings along.

`make` makes the libraries of a source in this folder, one for each level of the x86-64 architecture that differs in its vectors, and one on other processors (whose
vectors here are of one width). They exist only where somebody made them, so they are preferred to compiling.
"""

import platform
from collections.abc import Sequence
from pathlib import Path

from genomix.native.compiler import build, digest

_V3 = {"cx16", "lahf_lm", "popcnt", "ssse3", "sse4_1", "sse4_2", "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
LEVELS: dict[str, set[str]] = {
    "x86-64-v4": _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "x86-64-v3": _V3,
    "x86-64": set(),
}
"""From the fastest, and the flags that /proc/cpuinfo must list (those of the x86-64 psABI, by the kernel's names)."""
FOLDER = Path(__file__).parent
CPU_INFO = Path("/proc/cpuinfo")


def fitting(sources: Sequence[Path]) -> Path | None:
    """The fastest of the libraries made ahead that this processor can run; None where there is none."""
    able = abilities()
    for level, needed in _levels().items():
        path = _library(sources, level)
        if needed <= able and path.is_file():
            return path
    return None


def make(sources: Sequence[Path]) -> list[Path]:
    """Compile the first of these files, which includes the others, into the package's folder, for every level.

    Raises:
        OSError: there is no compiler, it failed, or the folder can't be written.
    """
    # As needed: what has no parallel loops must load without OpenMP's runtime, which comes with torch and not with the system.
    for level in _levels():
        march = [f"-march={level}"] if level in LEVELS else []
        build(_library(sources, level), sources[0], [[*march, "-fopenmp", "-Wl,--as-needed"]])
    return [_library(sources, level) for level in _levels()]


def _levels() -> dict[str, set[str]]:
    machine = platform.machine()
    return LEVELS if machine in {"x86_64", "AMD64"} else {machine: set()}


def _library(sources: Sequence[Path], level: str) -> Path:
    return FOLDER / f"{sources[0].stem}-{digest(sources, level)}-{level}.so"


def abilities() -> set[str]:
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
