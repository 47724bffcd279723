"""Which implementation runs on which kind of device, and how to ask for another.

On a CPU it is compiled C where there is a compiler, on an NVIDIA GPU Triton where that runs a kernel; plain torch everywhere else, and for what those two
can't do (C only whole factors and perceptrons in float32). `GENOMIX_NATIVE=0` leaves all to plain torch. `using` asks for one on all devices; Triton on a CPU
needs its interpreter (`TRITON_INTERPRET=1`), which is for tests.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal

import torch

from genomix.errors import first_line
from genomix.native import switched_off
from genomix.nn.ops.native import compiled

Name = Literal["torch", "native", "triton"]

DESCRIPTIONS: dict[Name, str] = {"torch": "plain torch", "native": "compiled C", "triton": "Triton kernels"}
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
    """The implementation for a kind of device."""
    if _forced:
        return _forced[-1]
    best = PREFERRED.get(device, "torch")
    return best if not switched_off() and _available(best) else "torch"


def described(device: str) -> str:
    """What computes a factor on a kind of device in float32, in words for `genomix doctor`."""
    return DESCRIPTIONS[chosen(device)]


def _available(name: Name) -> bool:
    if name == "triton":
        return _has_triton()
    return name == "torch" or compiled.library() is not None


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    if find_spec("triton") is None:
        _log.warning("Triton is not installed: on the GPU links are mixed by plain torch, which is slower")
        return False
    try:
        _launch()
    except Exception as error:  # noqa: BLE001 - a missing compiler, header or driver, a GPU too old: each has a type of its own
        _log.warning("Triton does not work here (%s): on the GPU links are mixed by plain torch, which is slower", first_line(error))
        return False
    return True


def _launch() -> None:
    from genomix.nn.ops.triton.probe import launch

    launch(torch.device("cuda"))
