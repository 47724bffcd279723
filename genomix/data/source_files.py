"""What the user names on the command line -> the files to read, each with its label where it carries one."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genomix.data.label_text import listed, tidy
from genomix.data.splits import split_name
from genomix.errors import DataError, InputMissing, UsageError
from genomix.formats import SEQUENCE_SUFFIXES, has_sequence_suffix
from genomix.formats.opening import STDIN, input_missing

_log = logging.getLogger(__name__)

_NAMED = 3
"""Folders that a message names."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read; `-` is standard input.

    Attributes:
        label: of all its records; None where each record's label comes from elsewhere, or there is none.
    """

    path: str
    label: str | None = None


def find_source_files(sources: Sequence[str], *, labelled: bool = True) -> list[SourceFile]:
    """The files behind `NAME=file` pairs, `NAME=folder` pairs, class folders and plain files, in the order given.

    Args:
        labelled: off where nobody asks for labels: then no file has one, and of a folder all sequence files below are meant, whatever its sub-folders are.

    Raises:
        InputMissing: no such file or folder.
        UsageError: an empty label, or a file named twice.
        DataError: a folder without sequence files, or whose sub-folders can't be classes.
    """
    files = [file for source in sources for file in _expand(*split_source(source), labelled=labelled)]
    seen: set[str] = set()
    for file in files:
        if file.path in seen:
            raise UsageError(f"{file.path} is given twice")
        seen.add(file.path)
    return files


def require_sources(sources: Sequence[str]) -> None:
    """Raises what `find_source_files` does of what is not there, and of what is no pair; nothing is read."""
    for source in sources:
        label, path = split_source(source)
        _require_there(path, label)


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
    return tidy(label), path


def _exists(path: str) -> bool:
    return path == STDIN or (bool(path) and Path(path).exists())


def _require_there(path: str, label: str | None = None) -> None:
    if path == STDIN or Path(path).exists():
        return
    if set("*?") & set(path):
        once = f"give {label}=FILE for each file of the class, or {label}=FOLDER" if label else "leave out the quotes; files must match"
        raise InputMissing("no such file", where=path, hint=f"the shell expands * and ?, but not in quotes nor behind NAME=: {once}")
    raise input_missing(FileNotFoundError(), path)


def _expand(label: str | None, path: str, *, labelled: bool) -> Iterator[SourceFile]:
    _require_there(path, label)
    folder, label = Path(path), label if labelled else None
    if path == STDIN or not folder.is_dir():
        yield SourceFile(path, label)
    elif label is not None or not labelled:
        yield from _all_of(folder, label)
    else:
        yield from _class_folder(folder)


def _class_folder(folder: Path) -> Iterator[SourceFile]:
    """The files of a folder with one sub-folder a class; of one without sub-folders, its own files, unlabelled."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        yield from _all_of(folder, None)
        return
    _refuse_other_levels(folder, classes)
    beside = sorted(entry for entry in folder.iterdir() if entry.is_file())
    unread = [file for file in beside if has_sequence_suffix(file)]
    if unread:
        _log.warning(
            "%s: %s beside the class folders, not in one: not read (%s)", folder, _counted(unread, "sequence file"), unread[0].name
        )
    _log_unread(folder, [file for file in beside if not has_sequence_suffix(file)])
    for class_folder in classes:
        yield from _all_of(class_folder, tidy(class_folder.name))


def _refuse_other_levels(folder: Path, classes: list[Path]) -> None:
    """Folders that are splits or parts, with the classes one level below, would be told apart instead of the classes. One class may well be called `val`."""
    parts = [entry for entry in classes if split_name(entry.name)]
    if len(parts) > 1 or len(parts) == len(classes):
        message = f"the sub-folders {_quoted(parts)} are named like splits, expected one a class"
        own = "; a split of your own goes into a label table (--labels with --split column)"
    elif (parts := _alike_inside(classes)) and len(parts) > 1:
        message, own = f"the sub-folders {_quoted(parts)} hold folders of the same names and no sequence files, expected one a class", ""
    else:
        return
    raise DataError(message, where=str(folder), hint=f"give one of them ({parts[0]}), or NAME=folder for every class{own}")


def _alike_inside(classes: list[Path]) -> list[Path]:
    """Of these folders those that hold no sequence file, only sub-folders, and two names at least that the first such folder has too."""
    inside = {}
    for entry in classes:
        try:
            content = [each for each in entry.iterdir() if not each.name.startswith(".")]
        except OSError:
            continue  # told when its files are looked for
        if not any(has_sequence_suffix(each) for each in content if each.is_file()):
            inside[entry] = {each.name for each in content if each.is_dir()}
    first = next(iter(inside.values()), set[str]())
    return [entry for entry, names in inside.items() if len(names & first) > 1]


def _quoted(folders: list[Path]) -> str:
    return listed([repr(folder.name) for folder in folders], _NAMED)


def _counted(files: list[Path], what: str) -> str:
    return f"{len(files):,} {what}{'s' * (len(files) > 1)}"


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
