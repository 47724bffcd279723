"""Requests to stop: while a run trains a signal raises a flag, which all its processes heed at the same step; before and after it ends the run at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from genomix.errors import Interrupted
from genomix.processes import Processes
from genomix.train.exchange import summed


class StopRequested(BaseException):
    """A stop was asked for where it need not wait. Not an error that anything else should handle."""


class StopRequests:
    """Whether SIGTERM or SIGUSR1 came since `stop_requests` began."""

    def __init__(self) -> None:
        self._came = self._at_once = False

    def __call__(self) -> bool:
        return self._came

    def take(self, _number: int) -> None:
        self._came = True
        if self._at_once:
            self._at_once = False
            raise StopRequested

    @contextmanager
    def heeded_at_once(self) -> Iterator[None]:
        """A block that may be left where it is, and made again.

        Raises:
            StopRequested: a signal came, or had come.
        """
        if self._came:
            raise StopRequested
        try:
            self._at_once = True
            yield
        finally:
            self._at_once = False


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """While the block runs SIGTERM and SIGUSR1 (a scheduler's warning) only raise a flag, to be looked at between two steps."""
    requests = StopRequests()
    with _handled_by(requests.take):
        yield requests


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
