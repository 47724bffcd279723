"""factor.c as a shared library."""

import ctypes
import logging
from functools import cache
from pathlib import Path

from genomix.native import compiled, switched_off

_log = logging.getLogger(__name__)

SOURCES = (Path(__file__).parent / "factor.c", Path(__file__).parent / "vectors.h")


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where it is switched off or can't be had, which a log line then tells once."""
    if switched_off():
        return None
    try:
        loaded = compiled(SOURCES)
    except OSError as error:
        _log.info("no compiled factor (%s): plain torch does its work, more slowly", error)
        return None
    loaded.work_size.argtypes, loaded.work_size.restype, loaded.tile_size.restype = [ctypes.c_void_p], ctypes.c_int64, ctypes.c_int64
    for call in (loaded.forward, loaded.backward, loaded.backward_values):
        call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p], None
    return loaded
