"""sequences.c, loaded."""

import ctypes
import logging
from functools import cache
from pathlib import Path

from genomix.native import compiled, switched_off

_log = logging.getLogger(__name__)

SOURCES = (Path(__file__).with_name("sequences.c"),)


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where it is switched off or can't be had, which a log line then tells once."""
    if switched_off():
        return None
    try:
        loaded = compiled(SOURCES)
    except OSError as error:
        _log.info("no compiled reading of sequences (%s): numpy does its work, more slowly", error)
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    loaded.scan.argtypes, loaded.scan.restype = [pointer, number, number, pointer, pointer, number, pointer, pointer, pointer], number
    loaded.small_hashes.argtypes = [pointer, number, ctypes.c_uint32, pointer, pointer, number]
    loaded.small_hashes.restype = number
    return loaded
