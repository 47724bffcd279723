"""Checkpoints: whole or absent, the last two kept, checked before they are believed, and read back without running pickled code."""

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from genomix.outputs import atomic_file

_log = logging.getLogger(__name__)

_KEPT = 2
_DIGEST = hashlib.sha256().digest_size


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` updates, and remove all but this one and the one before it."""
    write_checked(_path(folder, step), state)
    found = _checkpoints(folder)
    after = found.index(_path(folder, step)) + 1
    # What claims to be later is damaged, or the run would have gone on from it.
    for other in found[: max(0, after - _KEPT)] + found[after:]:
        other.unlink()


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint that is as it was written; None where there is none. A damaged one is passed over with a warning."""
    found = map(read_checked, reversed(_checkpoints(folder)))
    return next((state for state in found if state is not None), None)


def write_checked(path: Path, state: dict[str, Any]) -> None:
    """Write a file that `read_checked` reads."""
    buffer = io.BytesIO()
    torch.save(state, buffer)  # into memory first: torch reports a full disk as a fault of its own
    with atomic_file(path, "wb") as file:
        file.write(buffer.getbuffer())
        file.write(hashlib.sha256(buffer.getbuffer()).digest())


def read_checked(path: Path) -> dict[str, Any] | None:
    """What was written, on the CPU; None, with a warning, where it is damaged or can't be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        _log.warning("%s can't be read (%s): going on without it", path, error.strerror)
        return None
    state, digest = content[:-_DIGEST], content[-_DIGEST:]
    # torch does not notice changed numbers in a file whose structure is right.
    if hashlib.sha256(state).digest() == digest:
        return torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
    _log.warning("%s is damaged (%s bytes, checksum wrong): going on without it", path, f"{len(content):,}")
    return None


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"))
