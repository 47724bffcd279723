"""Checkpoints: whole or absent, the last two kept, read back without running pickled code."""

import io
import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from genomix.outputs import atomic_file

_log = logging.getLogger(__name__)

_KEPT = 2


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` updates, and remove all but the newest two."""
    buffer = io.BytesIO()
    torch.save(state, buffer)  # into memory first: torch reports a full disk as a fault of its own
    with atomic_file(_path(folder, step), "wb") as file:
        file.write(buffer.getbuffer())
    for old in _checkpoints(folder)[:-_KEPT]:
        old.unlink()


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint that can be read; None where there is none. A damaged one is passed over with a warning."""
    for path in reversed(_checkpoints(folder)):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            _log.warning("%s is damaged (%s): falling back to the checkpoint before it", path, error)
    return None


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"))
