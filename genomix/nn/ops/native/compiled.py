"""factor.c as a shared library."""

import ctypes
from functools import cache
from pathlib import Path

from genomix.native import compiled

SOURCES = (Path(__file__).parent / "factor.c", Path(__file__).parent / "vectors.h")


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where it is switched off or can't be had."""
    loaded = compiled(SOURCES, instead="plain torch")
    if loaded is None:
        return None
    loaded.work_size.argtypes, loaded.work_size.restype = [ctypes.c_void_p], ctypes.c_int64
    loaded.tile_size.restype = loaded.lanes.restype = ctypes.c_int64
    for call in (loaded.forward, loaded.backward, loaded.backward_values):
        call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p], None
    loaded.advise.argtypes, loaded.advise.restype = [ctypes.c_void_p, ctypes.c_int64], None
    for call in (loaded.enter, loaded.leave):
        call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 5], None
    return loaded
