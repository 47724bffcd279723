"""Writing results so that nothing is ever half-written under its final name.

A file or folder is made under a temporary name beside its destination and renamed when it is whole. A failure removes it.
"""

import errno
import hashlib
import os
import secrets
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from genomix.errors import OutputError

CANNOT_WRITE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EFBIG,
    errno.EIO,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}
"""Errors of the system that mean: a result can't be put there."""

LONGEST_NAME = 200
"""Bytes of a name that `shortened` leaves as it is."""


def output_error(error: OSError, path: str | Path) -> OutputError:
    """An `OSError` met while writing `path`, as the error that a user sees."""
    hint = "free some space, or write elsewhere with -o" if error.errno in {errno.ENOSPC, errno.EDQUOT} else None
    return OutputError(f"cannot write: {error.strerror or error}", where=str(path), hint=hint)


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in CANNOT_WRITE:
            raise output_error(error, path) from error
        raise


@contextmanager
def atomic_file(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """A file open for writing that appears as `path` only when the block ends without an error.

    A pipe or a device (`/dev/null`) is written to directly: renaming a file onto it would replace it.

    Raises:
        OutputError: the folder can't be written, the disk is full.
    """
    path = Path(path)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    with _reporting(path):
        require_file(path)
        if path.exists() and not path.is_file():
            with open(path, mode, **text) as file:
                yield file
            return
        target = path.resolve()  # a link stays a link
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(target, "partial")
        try:
            with open(temporary, mode.replace("w", "x"), opener=_for_nobody_else, **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(_mode(target, 0o666))
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def output_text(output: str) -> Iterator[IO[str]]:
    """What a command's `-o` means: a file as `atomic_file` opens it, or `-`, stdout."""
    if output == "-":
        yield sys.stdout
        return
    with atomic_file(output) as file:
        yield file


@contextmanager
def atomic_folder(path: str | Path, *, marker: str, force: bool = False) -> Iterator[Path]:
    """A new folder to fill, which appears as `path` only when the block ends without an error.

    Args:
        marker: pattern of a file that such a folder holds.
        force: replace a folder that exists, if it is such a folder.

    Raises:
        OutputError: `path` exists and may not be replaced, or it can't be written.
    """
    if str(path) == "-":
        raise OutputError("a folder can't go to standard output", where="-", hint="-o names a folder")
    path = Path(path)
    require_free(path, force=force, marker=marker)
    with _reporting(path):
        target = path.resolve()  # a link stays a link
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(target, "partial")
        try:
            temporary.mkdir(mode=0o700)
            yield temporary
            temporary.chmod(_mode(target, 0o777))
            with _undisturbed():
                _put_in_place(temporary, target)
        except BaseException:
            _remove(temporary)
            raise


def require_writable(path: Path) -> None:
    """Raises OutputError where `atomic_file` would, before the work whose result it is to be. The folder is made."""
    with _reporting(path):
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = _beside(target, "partial")
        try:
            probe.touch()
        finally:
            probe.unlink(missing_ok=True)


def require_folder(path: Path) -> None:
    """Raises OutputError where something else than a folder is there."""
    if path.exists() and not path.is_dir():
        raise OutputError("a file, expected a folder", where=str(path), hint="-o names a folder")


def require_file(path: Path) -> None:
    """Raises OutputError where a folder is there, or no file of that name can be."""
    with _reporting(path):
        is_folder = path.is_dir()
    if is_folder:
        raise OutputError("a folder, expected a file", where=str(path), hint="name a file in it")


def require_free(path: Path, *, force: bool, marker: str | None = None) -> None:
    """Refuse to overwrite what exists. An empty folder is free, and so is a pipe or a device.

    Args:
        marker: pattern of a file that a folder must hold for `force` to replace it: a slip of the pen must not delete somebody's data.

    Raises:
        OutputError: `path` exists and may not be replaced.
    """
    with _reporting(path):
        if path.is_dir():
            _require_movable(path)
        if not (path.is_file() or path.is_dir()) or (path.is_dir() and not any(path.iterdir())):
            return
        ours = marker is None or any(path.glob(marker))
    if not force:
        kind = "folder" if path.is_dir() else "file"
        raise OutputError(
            f"the output {kind} exists", where=str(path), hint="--force replaces it, or give another name" if ours else "give another name"
        )
    if not ours:
        raise OutputError(
            f"--force replaces only a folder that genomix made, and there is no {marker} in this one",
            where=str(path),
            hint="give another name",
        )


def _require_movable(folder: Path) -> None:
    """Raises OutputError for a folder that another one can't be put in the place of."""
    target = folder.resolve()
    here = Path.cwd()
    what = (
        "where commands are run from" if target in (here, *here.parents) else "where a disk is mounted" if os.path.ismount(target) else None
    )
    if what:
        raise OutputError(f"the folder {what} can't be replaced by the output", where=str(folder), hint="-o names a new folder in it")


def require_apart(output: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to write over what is read.

    Raises:
        OutputError: an input is the output, or lies in it.
    """
    target = output.resolve()
    for name in inputs:
        path = Path(name).resolve()
        if path == target or target in path.parents:
            raise OutputError(f"the input {name} would be overwritten", where=str(output), hint="name another place")


def _put_in_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.replace(temporary, path)
        return
    aside = _beside(path, "old")
    old = aside / "old"
    try:
        aside.mkdir(mode=0o700)
        os.replace(path, old)
        os.replace(temporary, path)
    finally:
        if temporary.exists() and old.exists():
            os.replace(old, path)  # where that fails too, the old folder stays where it is
        _remove(aside)


def _remove(folder: Path) -> None:
    """As far as the system allows."""
    with _undisturbed():
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals whose handlers may raise wait until the block is done: what they interrupt would be left half done, by the standard library too."""
    came: list[tuple[int, FrameType | None]] = []
    before: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():  # no other thread runs handlers, or may set them
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                handler = signal.getsignal(number)
                if callable(handler):
                    before[number] = handler
                    signal.signal(number, lambda *signalled: came.append(signalled))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for signalled, frame in came:
            before[signal.Signals(signalled)](signalled, frame)


def _beside(path: Path, kind: str) -> Path:
    """A name for a temporary file or folder beside this one, which nothing has; not all of a long name, as names have a longest length.

    Only a name, unlike those of `tempfile`: who makes something under it does so where a signal that comes at that very moment finds it removed again.
    """
    return path.parent / f"{os.fsdecode(os.fsencode(f'.{path.name}')[:200])}.{secrets.token_hex(8)}.{kind}"


def shortened(name: str) -> str:
    """A file's name that leaves some room for an ending, as systems end names at 255 bytes; of a longer one the beginning and a hash."""
    whole = os.fsencode(name)
    if len(whole) <= LONGEST_NAME:
        return name
    return f"{os.fsdecode(whole[: LONGEST_NAME - 17])}-{hashlib.sha256(whole).hexdigest()[:16]}"


def _for_nobody_else(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _mode(target: Path, usual: int) -> int:
    """Who may read and write what is put there: as what it replaces, which somebody may have kept to themselves; else as any new file."""
    return stat.S_IMODE(target.stat().st_mode) if target.exists() else usual & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
