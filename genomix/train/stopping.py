"""Requests to stop: a signal raises a flag, and all processes of a run heed it at the same step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from lightning_fabric import Fabric
from torch import Tensor


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """While the block runs SIGTERM and SIGUSR1 (a scheduler's warning) only raise a flag, to be looked at between two steps."""
    asked = []

    def remember(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def any_process(fabric: Fabric, *, asked: bool) -> bool:
    """Whether any process was asked to stop: they all stop at the same step, or the others would wait for it for ever."""
    if fabric.world_size == 1:
        return asked
    votes = fabric.all_reduce(torch.tensor(float(asked), device=fabric.device), reduce_op="sum")
    assert isinstance(votes, Tensor), "one tensor in, one out"
    return bool(votes > 0)
