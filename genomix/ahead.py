"""Work that is done before it is asked for: an iterator read by a thread of its own.

It pays where making an item lets go of the interpreter (numpy, hashing, reading), so that the two sides really work at the same time.
"""

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    """What a thread leaves behind its last item.

    Attributes:
        error: what ended it; None where there is nothing more.
    """

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterator[Item], *, most: int) -> Iterator[Item]:
    """The same items in the same order, up to `most` of them made before they are asked for.

    An error is raised where its item would have come. Closing the iterator stops the thread after the item that it is at, closes `items` and waits for that:
    so `items` may block for a short while only, on a file but not on a terminal or a pipe.
    """
    ready: SimpleQueue[Item | _End] = SimpleQueue()
    room, stopping = threading.Semaphore(most), threading.Event()
    # A daemon: where nobody closes the iterator, a thread that waits for room must not keep the process from ending.
    thread = threading.Thread(target=_make, args=(items, ready, room, stopping), name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopping.set()
        room.release()
        thread.join()


def _make(items: Iterator[Item], ready: "SimpleQueue[Item | _End]", room: threading.Semaphore, stopping: threading.Event) -> None:
    error: BaseException | None = None
    try:
        while room.acquire() and not stopping.is_set():
            ready.put(next(items))
    except StopIteration:
        pass
    except BaseException as caught:  # noqa: BLE001 - whatever it is, it belongs to whoever asked for the items
        error = caught
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
        ready.put(_End(error))
