"""Requests to stop: while a run trains a signal raises a flag, which all its processes heed at the same step; before and after it ends the run at once."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from genomix.errors import Interrupted
from genomix.processes import Processes, launched
from genomix.train.exchange import summed

_log = logging.getLogger(__name__)

_SCHEDULERS = (signal.SIGTERM, signal.SIGUSR1)
"""What is sent before a job is stopped."""


class StopRequested(BaseException):
    """A stop was asked for where it need not wait. Not an error that anything else should handle."""


class StopRequests:
    """Whether SIGTERM, SIGUSR1 or SIGINT came since `stop_requests` began."""

    def __init__(self) -> None:
        self._came = self._at_once = self._interrupted = False

    def __call__(self) -> bool:
        return self._came

    def take(self, number: int) -> None:
        """Raise the flag. A second Ctrl-C doesn't wait, but where a launcher started this process: that may pass on what the terminal sent already, and sees
        to the end itself.

        Raises:
            KeyboardInterrupt: Ctrl-C came twice.
            StopRequested: within `heeded_at_once`.
        """
        if number == signal.SIGINT:
            if self._interrupted and launched() is None:
                raise KeyboardInterrupt
            if not self._interrupted:
                with contextlib.suppress(RuntimeError):  # stderr may be in the middle of a line
                    _log.info("stopping after this update; Ctrl-C again ends at once")
            self._interrupted = True
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
    """While the block runs SIGTERM, SIGUSR1 (a scheduler's warning) and the first SIGINT only raise a flag, to be looked at between two steps.

    In a thread that is not the main one nothing is changed, and the flag is never raised.
    """
    requests = StopRequests()
    with _handled_by(requests.take, (*_SCHEDULERS, signal.SIGINT)):
        yield requests


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """While the block runs SIGTERM and SIGUSR1 end it where it is; what there is to save is saved already. Within `stop_requests` that one's flag is raised.

    Raises:
        Interrupted: one of them came.
    """

    def stop(number: int) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}", hint="the same command with --resume goes on")

    with _handled_by(stop, _SCHEDULERS):
        yield


@contextmanager
def interrupted_with_hint() -> Iterator[None]:
    """A block whose run folder is there: Ctrl-C, which ends it where it is, says what goes on with it.

    Raises:
        KeyboardInterrupt: it came.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("interrupted\n  hint: the same command with --resume goes on from the last checkpoint") from interrupt


@contextmanager
def _handled_by(call: Callable[[int], None], numbers: tuple[signal.Signals, ...]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python lets only that one set handlers, and runs them there
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        call(number)

    heard = [
        number for number in numbers if signal.getsignal(number) != signal.SIG_IGN
    ]  # a job in the background has nothing to do with Ctrl-C
    before = {number: signal.signal(number, handle) for number in heard}
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
