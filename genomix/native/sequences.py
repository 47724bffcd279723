"""sequences.c, loaded."""

import ctypes
from functools import cache
from pathlib import Path

from genomix.native import compiled

SOURCES = (Path(__file__).with_name("sequences.c"),)


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where it is switched off or can't be had."""
    loaded = compiled(SOURCES, instead="numpy")
    if loaded is None:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    loaded.scan.argtypes, loaded.scan.restype = [pointer, number, number, pointer, pointer, number, pointer, pointer, pointer], number
    loaded.small_hashes.argtypes = [pointer, number, ctypes.c_uint32, pointer, pointer, number]
    loaded.small_hashes.restype = number
    return loaded
