"""Fresh processes to measure in, because an allocator is set, and memory counted, for a whole process.

glibc gives large buffers back to the system when they are freed and faults them in again when they are asked for, and how soon depends on its thresholds: the
same step took 0.25 s or 1.3 s. So all sides are timed with the same thresholds (`ALLOCATOR`), which must be in the environment before a process begins. Memory is
measured with glibc's own, where what is freed goes back and gaps don't add to it.
"""

import json
import os
import subprocess
import sys
from typing import Any

from genomix.errors import GenomixError

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""Keeps glibc from returning large buffers to the system at every step."""
_STARTING = 120
"""Seconds that a process may take beside what it measures: a first start reads all of torch, and may compile."""


class Stopped(GenomixError):  # noqa: N818 - named as the errors that users see are
    """A process that measured didn't finish; the message says why."""


def measured(task: str, *, tuned: bool = True, seconds: float | None = None, **arguments: Any) -> dict[str, Any]:
    """What `genomix.bench.child` gives for the task, done in a process of its own.

    Args:
        tuned: with `ALLOCATOR`; else with glibc's own thresholds.
        seconds: that the task may take.

    Raises:
        Stopped: it took longer, or ended before it was done.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | (ALLOCATOR if tuned else {})
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)  # the same genomix as this one
    command = [sys.executable, "-m", "genomix.bench.child"]
    limit = None if seconds is None else seconds + _STARTING
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and our own module
            command,
            input=json.dumps({"task": task, "arguments": arguments}),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        raise Stopped(f"not done after {limit:,.0f} s") from error
    if done.returncode < 0:
        raise Stopped(f"the process was ended by signal {-done.returncode}, as systems do when memory runs out")
    if done.returncode:
        raise Stopped((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
