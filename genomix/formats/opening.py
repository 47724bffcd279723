"""Opening an input for reading: plain or compressed, a file or standard input, with every failure an error that names it.

The compression is told from the first bytes, never from the name, so a misnamed file and a pipe are read alike. A damaged stream shows up in the middle
of reading; `_Guarded` stands between the stream and the parser and turns what the decompressors raise into one kind of error.
"""

import difflib
import errno
import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from xopen import xopen

from genomix.errors import DataError, GenomixError, InputMissing

STDIN = "-"

_MAGIC = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"(\xb5/\xfd": "zst"}
_BUFFER_BYTES = 1 << 17


def display_name(path: str) -> str:
    """How an error names this input."""
    return "standard input" if path == STDIN else path


def compression(head: bytes) -> str | None:
    """`gz`, `bz2`, `xz`, `zst` or None, told from an input's first 6 bytes. bgzip is a kind of gzip."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


@contextmanager
def open_bytes(path: str) -> Iterator["io.BufferedReader[Any]"]:  # generic for the type checker only, hence quoted
    """The decompressed bytes of a file, a pipe, or standard input (`-`). Only for reading: an `OSError` in the block is taken for a failure to read.

    Raises:
        InputMissing: no such file, or it can't be opened or read.
        DataError: while reading: the compressed data is damaged or ends early; at its end: the file has been cut off or written on meanwhile.
    """
    try:
        with ExitStack() as stack:
            plain = stack.enter_context(_open_plain(path))
            kind = compression(plain.peek(6))
            if kind is None:
                with _read_whole(plain, path):
                    yield plain
                return
            # gzip is decompressed in a second thread; the others in this one, as xopen would start an external program for them.
            stream = stack.enter_context(xopen(plain, "rb", format=kind, threads=1 if kind == "gz" else 0))
            yield io.BufferedReader(_Guarded(stream, display_name(path), compressed=True), _BUFFER_BYTES)
    except OSError as error:
        raise input_missing(error, path) from error


def input_missing(error: OSError, path: str) -> InputMissing:
    """An `OSError` met while opening or reading `path`, as the error that a user sees."""
    if isinstance(error, FileNotFoundError):
        return InputMissing("no such file", where=path, hint=_nearest_file(path))
    if isinstance(error, IsADirectoryError):
        return InputMissing("a folder, expected a file", where=path, hint="name the sequence files in it")
    return InputMissing(f"can't be read: {error.strerror or error}", where=display_name(path))


def require_readable(paths: Iterable[str]) -> None:
    """Look for all inputs before much work is done on the first. Raises InputMissing."""
    for path in paths:
        if path == STDIN:
            continue
        try:
            mode = Path(path).stat().st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise input_missing(error, path) from error


def _open_plain(path: str) -> "io.BufferedReader[Any]":
    if path != STDIN:
        return open(path, "rb")
    if sys.stdin is None:
        raise InputMissing("closed, nothing to read", where=display_name(path))
    return io.BufferedReader(_Guarded(sys.stdin.buffer, display_name(path), compressed=False), _BUFFER_BYTES)


@contextmanager
def _read_whole(plain: "io.BufferedReader[Any]", path: str) -> Iterator[None]:
    """Raises DataError where what was read up to its end is not what was opened: of a file that is still being copied, or was cut off, the last record is not
    whole, and nothing in it says so."""
    try:
        size, kept = os.fstat(plain.fileno()).st_size, os.dup(plain.fileno())  # has the same place, and the reader may close the other one
    except OSError:  # a stream of our own
        yield
        return
    try:
        yield
        now = os.fstat(kept)
        sized = stat.S_ISREG(now.st_mode) and size > 0  # pipes and the files of /proc have no size, or one that says nothing
        read = os.lseek(kept, 0, os.SEEK_CUR) if sized else 0
    finally:
        os.close(kept)
    if sized and (read != size or now.st_size != size) and read >= min(size, now.st_size):
        found = f"{read:,} bytes read, {size:,} when it was opened and {now.st_size:,} at the end"
        raise DataError(
            f"changed while it was read: {found}", where=display_name(path), hint="is it still being written? Read it when it is done"
        )


def _nearest_file(path: str) -> str | None:
    folder = Path(path).parent
    try:
        near = difflib.get_close_matches(Path(path).name, [other.name for other in folder.iterdir()], n=1, cutoff=0.7)
    except OSError:
        return f"there is no folder {folder} either"
    return f"did you mean {folder / near[0]}?" if near else None


class _Guarded(io.RawIOBase):
    """A stream whose own failures become errors that name the input. Closing it leaves the stream inside open: its owner closes that."""

    def __init__(self, stream: Any, name: str, *, compressed: bool) -> None:
        self._stream = stream
        self._name = name
        self._compressed = compressed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return self._stream.readinto(buffer) or 0
        except GenomixError:
            raise
        except EOFError as error:
            hint = "the file was cut off; copy or download it again"
            raise DataError("the compressed data ends early", where=self._name, hint=hint) from error
        except Exception as error:
            # Each decompressor raises errors of its own; an OSError with a number is the system's, met below the decompressor.
            if not self._compressed or (isinstance(error, OSError) and error.errno is not None):
                raise
            hint = "copy or download the file again"
            raise DataError(f"the compressed data is damaged ({error})", where=self._name, hint=hint) from error
