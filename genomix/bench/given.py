"""Sequence files that a user gives to measure with, in place of generated ones."""

from collections.abc import Iterable
from pathlib import Path

from genomix.errors import UsageError
from genomix.formats.opening import STDIN, display_name


def require_readable_again(paths: Iterable[str]) -> None:
    """Raises UsageError for standard input, a pipe or a device: what is measured is read to compare, and then once a round."""
    for path in paths:
        place = Path(path)
        if path == STDIN or (place.exists() and not place.is_file() and not place.is_dir()):
            raise UsageError(
                f"{display_name(path)} can be read only once, and genomix bench reads its sequences several times",
                hint="save them to a file, and name that",
            )
