"""factor.c as a shared library: made ahead for such processors, or compiled for this one, once, into the user's cache folder."""

import ctypes
import logging
import platform
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from genomix.nn.ops.native import portable
from genomix.nn.ops.native.build import build, digest

_log = logging.getLogger(__name__)

_TRIED = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",))
"""One after the other: Apple's compiler knows no OpenMP, and older ones for ARM no -march=native."""


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where it can't be had, which a log line then tells once."""
    try:
        path = portable.fitting() or _cached()
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        _log.info("no compiled factor (%s): plain torch does its work, more slowly", error)
        return None
    loaded.work_size.argtypes, loaded.work_size.restype, loaded.tile_size.restype = [ctypes.c_void_p], ctypes.c_int64, ctypes.c_int64
    for call in (loaded.forward, loaded.backward, loaded.backward_values):
        call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p], None
    return loaded


def _cached() -> Path:
    """Where the library for this processor is, compiled if need be.

    Raises:
        OSError: there is no compiler, or it failed.
    """
    path = user_cache_path("genomix") / "native" / f"factor-{digest(_processor())}.so"
    if not path.is_file():
        build(path, _TRIED)
    return path


def _processor() -> str:
    """What decides which instructions there are: a cache folder may be shared by a cluster's machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))})])
