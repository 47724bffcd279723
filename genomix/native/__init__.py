"""C sources as shared libraries: made ahead (`portable`), or compiled for this processor at first use, once, into the user's cache folder.

Whoever loads one has the same work in Python too, for machines without a compiler, and tests that compare the two.
"""

import ctypes
import logging
import os
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from genomix.native import portable
from genomix.native.compiler import build, digest, intact

_log = logging.getLogger(__name__)

SWITCH = "GENOMIX_NATIVE"
"""Environment variable; 0 leaves all work to Python."""
_TRIED = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",))
"""One after the other: Apple's compiler knows no OpenMP, and older ones for ARM no -march=native."""


def switched_off() -> bool:
    """Whether the user wants no compiled code."""
    return os.environ.get(SWITCH) == "0"


def compiled(sources: Sequence[Path], *, instead: str) -> ctypes.CDLL | None:
    """The library made of the first of these files; None where compiled code is switched off, or can't be had, which a log line then tells.

    Args:
        sources: the others are what it includes.
        instead: what does the work without it, for that line.
    """
    if switched_off():
        return None
    said: list[Exception] = []
    for find in (portable.fitting, _cached):
        try:
            path = find(sources)
            if path is not None:
                return ctypes.CDLL(str(path))
        except (OSError, RuntimeError) as error:  # platformdirs: a user without a home folder
            said.append(error)
    _log.info("no compiled %s (%s): %s does its work, more slowly", sources[0].name, said[-1], instead)
    return None


def _cached(sources: Sequence[Path]) -> Path:
    """Where the library for this processor is, compiled if it is not there whole.

    Raises:
        OSError: there is no compiler, or it failed.
    """
    path = user_cache_path("genomix") / "native" / f"{sources[0].stem}-{digest(sources, _processor())}.so"
    return intact(path) or build(path, sources[0], _TRIED, sealed=True)


@cache
def _processor() -> str:
    """What decides which instructions there are: a cache folder may be shared by a cluster's machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))})])
