"""Seconds and bytes: several sides in turn, and the most memory that a process ever held."""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def in_turn(sides: Mapping[str, Callable[[], Any]], rounds: int, *, wait: Callable[[], None] = lambda: None) -> dict[str, float]:
    """Median seconds of each side; one round that is not counted, then A B A B ...

    Args:
        wait: returns when the device has done what was asked of it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for counted in (False, *[True] * rounds):
        for name, call in sides.items():
            wait()
            started = time.perf_counter()
            call()
            wait()
            if counted:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in seconds.items()}


def forget_peak() -> None:
    """Count the peak from what the process holds now, where the system can do that (Linux)."""
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory() -> int:
    """Bytes: the most that this process ever had resident.

    Linux's own count of this program's image: `ru_maxrss` begins with what the process that started it held.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
