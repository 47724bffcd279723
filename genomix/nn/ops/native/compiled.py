"""factor.c as a shared library."""

import ctypes
from functools import cache
from pathlib import Path

from genomix.native import compiled

SOURCES = tuple(Path(__file__).parent / name for name in ("factor.c", "tiles.h", "vectors.h"))


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where it is switched off or can't be had."""
    loaded = compiled(SOURCES, instead="plain torch")
    if loaded is None:
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    loaded.lanes.restype = size
    loaded.plan.argtypes, loaded.plan.restype = [pointer, size], size
    loaded.begin.argtypes, loaded.begin.restype = [pointer, pointer], None
    for call in (loaded.forward, loaded.backward, loaded.backward_values):
        call.argtypes, call.restype = [pointer, pointer, pointer, size, size], None
    loaded.perceptron_gradients.argtypes, loaded.perceptron_gradients.restype = [pointer] * 6, None
    loaded.advise.argtypes, loaded.advise.restype = [pointer, size], None
    for call in (loaded.enter, loaded.leave):
        call.argtypes, call.restype = [pointer, pointer, *[size] * 5], None
    return loaded
