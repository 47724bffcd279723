"""What the user names on the command line -> the files to read, each with its label where it carries one."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genomix.errors import DataError, UsageError
from genomix.formats import SEQUENCE_SUFFIXES, has_sequence_suffix
from genomix.formats.opening import STDIN, input_missing

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read; `-` is standard input.

    Attributes:
        label: of all its records; None where each record's label comes from elsewhere, or there is none.
    """

    path: str
    label: str | None = None


def find_source_files(sources: Sequence[str]) -> list[SourceFile]:
    """The files behind `NAME=file` pairs, `NAME=folder` pairs, class folders and plain files, in the order given.

    Raises:
        InputMissing: no such file or folder.
        UsageError: an empty label, or a file named twice.
        DataError: a folder without sequence files.
    """
    files = [file for source in sources for file in _expand(*split_source(source))]
    seen: set[str] = set()
    for file in files:
        if file.path in seen:
            raise UsageError(f"{file.path} is given twice")
        seen.add(file.path)
    return files


def split_source(source: str) -> tuple[str | None, str]:
    """`NAME=path` -> (NAME, path); a path alone -> (None, path).

    The name ends at the first `=` after which an existing path stands, so both may hold `=`; a path that exists as a whole has no name.
    """
    if "=" not in source or Path(source).exists():
        return None, source
    places = [place for place, letter in enumerate(source) if letter == "="]
    place = next((place for place in places if _exists(source[place + 1 :])), places[0])
    label, path = source[:place], source[place + 1 :]
    if not label.strip() or not path:
        raise UsageError(f"{source!r} is no NAME=file pair", hint="for example: ecoli=ecoli.fa")
    return label.strip(), path


def _exists(path: str) -> bool:
    return path == STDIN or (bool(path) and Path(path).exists())


def _expand(label: str | None, path: str) -> Iterator[SourceFile]:
    folder = Path(path)
    if path != STDIN and not folder.exists():
        raise input_missing(FileNotFoundError(), path)
    if path == STDIN or not folder.is_dir():
        yield SourceFile(path, label)
    elif label is not None:
        yield from _all_of(folder, label)
    else:
        yield from _class_folder(folder)


def _class_folder(folder: Path) -> Iterator[SourceFile]:
    """The files of a folder with one sub-folder a class; of one without sub-folders, its own files, unlabelled."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        yield from _all_of(folder, None)
        return
    _log_unread(folder, [entry for entry in folder.iterdir() if entry.is_file()])
    for class_folder in classes:
        yield from _all_of(class_folder, class_folder.name)


def _all_of(folder: Path, label: str | None) -> Iterator[SourceFile]:
    """Sequence files anywhere below a folder, by the ending of their names; links are followed, and hidden folders left alone."""
    files = sorted(_files_below(folder))
    chosen = [file for file in files if has_sequence_suffix(file)]
    _log_unread(folder, [file for file in files if not has_sequence_suffix(file)])
    if not chosen:
        endings = " ".join(SEQUENCE_SUFFIXES)
        raise DataError("no sequence file in this folder", where=str(folder), hint=f"their names end in {endings}, also compressed")
    yield from (SourceFile(str(file), label) for file in chosen)


def _files_below(folder: Path) -> Iterator[Path]:
    """Raises InputMissing for a folder that can't be looked into."""
    seen: set[tuple[int, int]] = set()  # a link may lead back up

    def fail(error: OSError) -> None:
        raise input_missing(error, str(error.filename)) from error

    for name, inside, files in os.walk(folder, followlinks=True, onerror=fail):
        here = Path(name)
        about = here.stat()
        if (about.st_dev, about.st_ino) in seen:
            inside.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        inside[:] = [each for each in inside if not each.startswith(".")]
        yield from (here / each for each in files if (here / each).is_file())


def _log_unread(folder: Path, files: list[Path]) -> None:
    if files:
        others = "1 other file is" if len(files) == 1 else f"{len(files)} other files are"
        _log.info("%s: %s not read (%s)", folder, others, files[0].name)
