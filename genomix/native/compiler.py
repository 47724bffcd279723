"""A C source to a shared library: the flags, and the call of the compiler."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

FLAGS = ("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
"""Not -ffast-math: a library linked with it turns off subnormal numbers in the whole process, and takes infinity and NaN for impossible."""


def digest(sources: Sequence[Path], *what: str) -> str:
    """A name for what the sources, the flags and `what` make."""
    content = b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(content + "\n".join([*FLAGS, *what]).encode()).hexdigest()[:16]


def build(path: Path, source: Path, tried: Iterable[Sequence[str]], *, sealed: bool = False) -> Path:
    """Compile `source` to `path`, which appears whole or not at all, also when several processes compile at once.

    Args:
        tried: further flags, the next where the compiler fails on the last.
        sealed: put a checksum of the library into its name, for `intact`.

    Returns:
        Where the library is.

    Raises:
        OSError: there is no compiler, or it failed.
    """
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        said = []
        for extra in tried:
            command = [compiler, *FLAGS, *extra, "-o", str(made), str(source)]
            # No shell and nothing of a user's input: the compiler that was found, and our own file. Its failure is not ours: the next flags are tried.
            found = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
            if found.returncode == 0:
                with made.open("rb+") as file:
                    os.fsync(file.fileno())  # or a crash of the machine could leave the name, and no content
                place = _sealed(path, made) if sealed else path
                made.replace(place)
                return place
            said.append(found.stderr.strip() or f"exit code {found.returncode}")
    raise OSError(f"{compiler} could not compile it: {said[0].splitlines()[-1]}")


def intact(path: Path) -> Path | None:
    """The library that `build` made for `path` and sealed, if it is whole: to load one that was cut short would kill the process.

    The checksum stands in the name, as a file beside it could be that of another process's library.
    """
    for found in sorted(path.parent.glob(f"{path.stem}-*{path.suffix}")):
        if found == _sealed(path, found):
            return found
    return None


def _sealed(path: Path, content: Path) -> Path:
    return path.with_stem(f"{path.stem}-{hashlib.sha256(content.read_bytes()).hexdigest()[:16]}")
