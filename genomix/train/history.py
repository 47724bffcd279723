"""What a run writes down as it goes: `metrics.jsonl`, one line a step and one a validation, and a progress bar on a terminal."""

import json
import os
import sys
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from genomix.errors import DataError, OutputError
from genomix.outputs import atomic_file

HISTORY_FILE = "metrics.jsonl"
NOTICEABLE = 1e-4
"""Nats that the validation loss must fall for training to go on; a network that has all records right could go on gaining less for ever."""


class History:
    """The log of a run.

    Args:
        path: `metrics.jsonl`; lines of steps after `step` are cut off, because a resumed run makes those steps again.
        writes: off on all ranks but the first.
    """

    def __init__(self, path: Path, *, step: int, steps: int, writes: bool = True) -> None:
        self._writes, self._path = writes, path
        if writes:
            _cut_back(path, step)
            self._file = path.open("a", encoding="utf-8")
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=not (writes and sys.stderr.isatty()), dynamic_ncols=True)
        self._validation = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._writes:
            self._file.close()

    def step(self, step: int, epoch: int, *, loss: float, learning_rate: float, speed: float) -> None:
        """After an update; `speed` is tokens a second, of all processes."""
        self._write(event="step", step=step, epoch=epoch, loss=loss, lr=learning_rate, tokens_per_s=round(speed))
        self._bar.set_postfix_str(f"loss {loss:.3f}{self._validation}, {speed / 1000:,.0f}k tokens/s", refresh=False)
        self._bar.update()

    def validation(self, step: int, epoch: int, figures: dict[str, float], *, best: bool) -> None:
        self._write(event="validation", step=step, epoch=epoch, best=best, **figures)
        self._validation = f", validation {figures['loss']:.3f}"

    def require_in_place(self) -> None:
        """Raises OutputError where the run folder was removed, or is another run's by now: what is written there would be of both. Of the process that writes."""
        try:
            here = os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            here = False
        if not here:
            raise OutputError("the run folder was removed or replaced while training wrote to it", where=str(self._path.parent))

    def _write(self, **row: Any) -> None:
        if self._writes:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl`; a last line that a kill cut short is left out.

    Raises:
        DataError: another line is not JSON.
    """
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise DataError("not a line of JSON", where=f"{path}, line {number}") from error
    return rows


def _cut_back(path: Path, step: int) -> None:
    kept = [row for row in read_history(path) if row["step"] <= step] if step else []  # the validation of step 0 is made again too
    with atomic_file(path) as file:
        file.writelines(json.dumps(row) + "\n" for row in kept)
