"""Requests to stop: while a run trains a signal raises a flag, which all its processes heed at the same step; before and after it ends the run at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from genomix.errors import Interrupted
from genomix.processes import Processes
from genomix.train.exchange import summed


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """While the block runs SIGTERM and SIGUSR1 (a scheduler's warning) only raise a flag, to be looked at between two steps."""
    asked: list[int] = []
    with _handled_by(asked.append):
        yield lambda: bool(asked)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """While the block runs SIGTERM and SIGUSR1 end it where it is; what there is to save is saved already. Within `stop_requests` that one's flag is raised.

    Raises:
        Interrupted: one of them came.
    """

    def stop(number: int) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}", hint="the same command with --resume goes on")

    with _handled_by(stop):
        yield


@contextmanager
def _handled_by(call: Callable[[int], None]) -> Iterator[None]:
    def handle(number: int, _frame: FrameType | None) -> None:
        call(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
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
