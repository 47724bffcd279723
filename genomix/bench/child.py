"""What a fresh process runs: one task, described in JSON on its standard input, its figures in JSON on its standard output."""

import json
import os
import sys
import threading
import time
from importlib import import_module
from typing import Any

from genomix.bench.timing import peak_memory

TASKS = {
    "step": ("genomix.bench.steps", "one_step"),
    "speeds": ("genomix.bench.steps", "speeds"),
    "scaling": ("genomix.bench.steps", "scaling"),
    "published": ("genomix.bench.steps", "against_published"),
    "ours": ("genomix.bench.steps", "ours_at_published"),
    "preset": ("genomix.bench.steps", "preset_step"),
    "command": (__name__, "command"),
}
"""Task -> module and function: a process imports only what its own task needs."""


def command(*, words: list[str]) -> dict[str, Any]:
    """One command line of genomix, and the most memory it had.

    Raises:
        RuntimeError: it ended with another exit code than 0; it has said why.
    """
    run = import_module("genomix.cli.main").main  # not an import statement: this room lies below the command line
    standard, sys.stdout = sys.stdout, sys.stderr  # its data are not this process's
    try:
        code = run(words)
    finally:
        sys.stdout = standard
    if code:
        raise RuntimeError(f"genomix {' '.join(words)} ended with {code}")
    return {"peak_bytes": peak_memory()}


def _end_with(parent: int) -> None:
    """A measurement that nobody waits for any more must not go on taking the machine."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    asked = json.load(sys.stdin)
    module, function = TASKS[asked["task"]]
    figures = getattr(import_module(module), function)(**asked["arguments"])
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
