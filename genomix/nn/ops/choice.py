"""Which implementation runs on which kind of device, and how to ask for another.

On a CPU it is compiled C where there is a compiler, on an NVIDIA GPU Triton where Triton is installed; plain torch everywhere else, and for what those two
can't do (C only whole factors and perceptrons in float32). `GENOMIX_KERNELS=torch`, `=native` or `=triton`, or `using`, asks for one on all devices. Triton on
a CPU needs its interpreter (`TRITON_INTERPRET=1`), which is for tests.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal, get_args

from genomix.errors import SettingsError
from genomix.nn.ops.native import compiled

Name = Literal["torch", "native", "triton"]

VARIABLE = "GENOMIX_KERNELS"
DESCRIPTIONS: dict[Name, str] = {"torch": "plain torch", "native": "compiled C", "triton": "Triton kernels"}
HINTS: dict[Name, str] = {"native": "install a C compiler, or unset it", "triton": "pip install triton, or unset it"}
PREFERRED: dict[str, Name] = {"cpu": "native", "cuda": "triton"}

_forced: list[Name] = []  # not a context variable: PyTorch runs the backward pass on a GPU in a thread of its own
_log = logging.getLogger(__name__)


@contextmanager
def using(name: Name) -> Iterator[None]:
    """Run one implementation on every device, for tests and benchmarks."""
    _forced.append(name)
    try:
        yield
    finally:
        _forced.pop()


def chosen(device: str) -> Name:
    """The implementation for a kind of device.

    Raises:
        SettingsError: the environment asks for one that there isn't.
    """
    if _forced:
        return _forced[-1]
    asked = os.environ.get(VARIABLE)
    if not asked:
        best = PREFERRED.get(device, "torch")
        return best if _available(best) else "torch"
    for name in get_args(Name):
        if asked == name:
            if not _available(name):
                raise SettingsError(f"{DESCRIPTIONS[name]}: not to be had here", where=f"environment variable {VARIABLE}", hint=HINTS[name])
            return name
    raise SettingsError(f"expected {', '.join(get_args(Name))}, found {asked!r}", where=f"environment variable {VARIABLE}")


def described(device: str) -> str:
    """What computes a factor on a kind of device in float32, in words for `genomix doctor`."""
    return DESCRIPTIONS[chosen(device)]


def _available(name: Name) -> bool:
    if name == "triton":
        return _has_triton()
    return name == "torch" or compiled.library() is not None


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    found = find_spec("triton") is not None
    if not found:
        _log.warning("Triton is not installed: on the GPU links are mixed by plain torch, which is slower")
    return found
