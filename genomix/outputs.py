"""Writing results so that nothing is ever half-written under its final name.

A file or folder is made under a temporary name beside its destination and renamed when it is whole. A failure removes it.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from genomix.errors import OutputError

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.ENOTDIR, errno.EISDIR}


def output_error(error: OSError, path: Path) -> OutputError:
    """An `OSError` met while writing `path`, as the error that a user sees."""
    hint = "free some space, or write elsewhere with -o" if error.errno in {errno.ENOSPC, errno.EDQUOT} else None
    return OutputError(f"cannot write: {error.strerror or error}", where=str(path), hint=hint)


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            raise output_error(error, path) from error
        raise


@contextmanager
def atomic_file(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """A file open for writing that appears as `path` only when the block ends without an error.

    Raises:
        OutputError: the folder can't be written, the disk is full.
    """
    path = Path(path)
    with _reporting(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        try:
            with os.fdopen(handle, mode, **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """A new folder to fill, which appears as `path` only when the block ends without an error.

    Args:
        force: replace a folder that exists.

    Raises:
        OutputError: `path` exists and `force` is off, or it can't be written.
    """
    path = Path(path)
    require_free(path, force=force)
    with _reporting(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            _put_in_place(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def require_free(path: Path, *, force: bool) -> None:
    """Refuse to overwrite: raises OutputError when `path` exists and `force` is off. An empty folder is free."""
    if not path.exists() or force or (path.is_dir() and not any(path.iterdir())):
        return
    kind = "folder" if path.is_dir() else "file"
    raise OutputError(f"the output {kind} exists", where=str(path), hint="--force replaces it; -o names another")


def _put_in_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.replace(temporary, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent)) / path.name
    os.replace(path, old)
    os.replace(temporary, path)
    shutil.rmtree(old.parent, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
