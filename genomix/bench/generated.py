"""Sequences to measure with: random bases, of a class that differs in its GC content."""

import gzip
import shutil
from pathlib import Path

import numpy as np

_LINE = 80
_LETTERS = np.frombuffer(b"ACGT", np.uint8)


def write_fasta(path: Path, *, bases: int, length: int, seed: int, gc: float = 0.5) -> int:
    """Records of `length` bases until there are at least `bases`; gives the bytes of the file.

    Args:
        gc: fraction of G and C.
    """
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        for number in range(max(1, -(-bases // length))):
            drawn = rng.random(length, dtype=np.float32)
            gc_pair, second = drawn < gc, rng.integers(0, 2, length)
            sequence = _LETTERS[np.where(gc_pair, 1 + second, 3 * second)].tobytes()
            lines = (sequence[start : start + _LINE] for start in range(0, length, _LINE))
            file.write(b">%s_%d generated\n" % (path.stem.encode(), number) + b"\n".join(lines) + b"\n")
        return file.tell()


def two_classes(folder: Path, *, bases: int, length: int) -> list[Path]:
    """Two FASTA files, `poor.fa` and `rich.fa`, with half of the bases each."""
    paths = [folder / "poor.fa", folder / "rich.fa"]
    for seed, (path, gc) in enumerate(zip(paths, (0.4, 0.6), strict=True)):
        write_fasta(path, bases=bases // 2, length=length, seed=seed, gc=gc)
    return paths


def compressed(path: Path) -> Path:
    """A gzip copy beside the file."""
    copy = path.with_name(path.name + ".gz")
    with path.open("rb") as plain, gzip.open(copy, "wb", compresslevel=6) as packed:
        shutil.copyfileobj(plain, packed, 1 << 20)
    return copy
