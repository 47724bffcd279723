"""How much memory there is, and what becomes of what is freed."""

import ctypes
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import torch

_CONTROL_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_LIMITS = {
    "": ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"),
}
"""Where the limits of control groups stand, version 2 and 1, by controller: limit, use, and the use that gives way when memory is short."""

_OWN_STATUS = Path("/proc/self/status")
_OWN_LIMITS = {resource.RLIMIT_AS: "VmSize:", resource.RLIMIT_DATA: "VmData:"}
"""What a process may ask for (`ulimit -v` and `-d`; h_vmem of Grid Engine), and where Linux says what it has."""

SOONER, LATER = 2**22, 2**25
"""Bytes of the smallest buffer that goes back to the system when it is freed, where memory is short and otherwise."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The C library's names for its settings: free bytes at the heap's end, and the size of a buffer, from which they are given back."""


def free_memory(device: torch.device, *, processes: int = 1) -> int | None:
    """Bytes that this process can still take on the device; None where the system does not tell.

    Args:
        processes: that share this machine's main memory; each has its own limits and its own GPU.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    shared = [*_of_the_system(), *_of_the_groups(_CONTROL_GROUPS, _OWN_GROUPS)]
    return min((*(free // processes for free in shared), *_of_the_process()), default=None)


def process_memory() -> int:
    """Bytes of main memory that this process takes now (on macOS: has taken at most)."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def return_freed_memory(*, sooner: bool) -> None:
    """Give freed buffers back to the system from 4 MiB on, or as the GNU C library does of its own accord from 32 MiB on; no effect with another library.

    What is not given back lies about as gaps in the heap, and is quicker to have again (docs/design/memory.md).
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_THRESHOLD, SOONER if sooner else LATER)
    library.mallopt(_TRIM_THRESHOLD, 4 * SOONER if sooner else 2 * LATER)
    if sooner:
        library.malloc_trim(0)


def _of_the_system() -> Iterator[int]:
    table = Path("/proc/meminfo")
    if table.exists():
        yield _entry(table, "MemAvailable:") * 1024
    elif "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") - process_memory()


def _of_the_groups(mounted: Path, own: Path) -> Iterator[int]:
    """What this process's control group has left, and each group around it: a container's, or that of a job of SLURM's or systemd's.

    Args:
        mounted: where the groups are.
        own: the file that names this process's.
    """
    names = dict.fromkeys(_LIMITS, "/")
    for line in own.read_text().splitlines() if own.exists() else ():
        _, controllers, name = line.split(":", 2)
        names |= {each: name for each in controllers.split(",") if each in _LIMITS}
    for controller, (limit, use, statistics, cache) in _LIMITS.items():
        for group in (PurePosixPath(names[controller]), *PurePosixPath(names[controller]).parents):
            folder = mounted / controller / group.relative_to("/")
            if (folder / limit).exists() and (most := (folder / limit).read_text().strip()) != "max":
                yield max(0, int(most) - int((folder / use).read_text()) + _entry(folder / statistics, cache))


def _of_the_process() -> Iterator[int]:
    """What its own limits leave this process; they count what it asked for, used or not."""
    if not _OWN_STATUS.exists():
        return
    for limit, name in _OWN_LIMITS.items():
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY:
            yield max(0, most - _entry(_OWN_STATUS, name) * 1024)


def _entry(table: Path, name: str) -> int:
    rows = (line.split() for line in table.read_text().splitlines())
    return next((int(row[1]) for row in rows if row and row[0] == name), 0)
