"""Requests to stop: a signal raises a flag, and all processes of a run heed it at the same step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from genomix.processes import Processes
from genomix.train.exchange import summed


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


def told(processes: Processes, device: torch.device, *, asked: bool, tokens: int) -> tuple[bool, int]:
    """Whether any process was asked to stop, and how many tokens all of them have read.

    They all stop at the same step, or the others would wait for one for ever.

    Args:
        asked: whether this process was.
        tokens: that this process has read in the update.
    """
    if processes.world == 1:
        return asked, tokens
    votes, total = summed(torch.tensor([int(asked), tokens], device=device), processes).tolist()
    return votes > 0, total
