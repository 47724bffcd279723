"""Whether a run that is resumed is given the files that its dataset was made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genomix.data.store import file_entry
from genomix.errors import UsageError
from genomix.formats.opening import STDIN

_HINT = "leave the files out with --resume, or train into another folder"


def require_same_sources(given: Sequence[tuple[str, str | None]], recorded: Sequence[dict[str, Any]]) -> None:
    """Compare files by where they lie, by label and by content. What can't be read again has no content to compare: the dataset holds its records.

    Args:
        given: path and label of each file that is named now.
        recorded: `sources` of the dataset's `dataset.json`.

    Raises:
        UsageError: a file is new, has another label, is left out though it is still there, or holds something else now.
    """
    begun = {(_place(entry["path"]), entry["label"]): entry for entry in recorded}
    named = {(_place(path), label): path for path, label in given}
    for key, path in named.items():
        if key not in begun:
            how = "without a label" if key[1] is None else f"as {key[1]}"
            known = key[0] in {place for place, _ in begun}
            raise UsageError(f"the run was not begun with {path}{f' {how}' if known else ''}", hint=_HINT)
    for key, entry in begun.items():
        if key not in named and (entry["path"] == STDIN or Path(entry["path"]).exists()):
            raise UsageError(f"the run was begun with {entry['path']} too, which is not given now", hint=_HINT)
    for key, path in named.items():
        if _changed(path, begun[key]):
            raise UsageError(f"the content of {path} is not what the run was begun with", hint=_HINT)


def _place(path: str) -> str:
    return path if path == STDIN else str(Path(path).resolve())


def _changed(path: str, entry: dict[str, Any]) -> bool:
    """The size is compared first: large files take long to hash."""
    if entry.get("sha256") is None or not Path(path).is_file():
        return False
    return Path(path).stat().st_size != entry["bytes"] or file_entry(Path(path))["sha256"] != entry["sha256"]
