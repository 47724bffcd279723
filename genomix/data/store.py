"""The dataset folder: one byte a base in one memory-mapped array, and a table that says which bases are whose.

    dataset.json   what this is: schema version, sources, settings, counts, split, sha256 of the two files below
    records.tsv    a row a record: id label group split length offset source sequence cluster
    bases.npy      uint8, A 0 C 1 G 2 T 3 other 4; record i is bases[offset : offset + length]
    rejected.tsv   every record left out, with the reason
    similarity.tsv a row a record of validation and test: its nearest training record, and how alike the two are; absent without a split

Bases are written as they come, so a record that turns out later to contradict another leaves a gap that no row points to.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import IO, TYPE_CHECKING, Any, Literal, Self

import numpy as np

from genomix.data.splits import SPLITS
from genomix.errors import DataError, InputMissing

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1

INFO_FILE, RECORDS_FILE, BASES_FILE, REJECTED_FILE = "dataset.json", "records.tsv", "bases.npy", "rejected.tsv"
SIMILARITY_FILE = "similarity.tsv"

RECORD_COLUMNS = ("id", "label", "group", "split", "length", "offset", "source", "sequence", "cluster")
_NEEDED = {"counts", "split", "circular", "strand", "files"}
_HASHED_BYTES = 1 << 22
"""Large, as a thread gets the interpreter back only after a while for each block."""
_WRITTEN_BYTES = 1 << 22
_NUMBERS = ("length", "offset")


class BasesWriter:
    """Writes `bases.npy` record by record, some megabytes at a time and in a thread; the header gets its length at the end.

    Args:
        file: open for writing and reading.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._waiting: list[bytes] = []
        self._waiting_bytes = self.count = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bases")
        self._writing: Future[None] | None = None
        file.write(_npy_header(0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()

    def add(self, codes: bytes) -> int:
        """Append a record's base codes; returns its offset."""
        offset = self.count
        self._waiting.append(codes)
        self._waiting_bytes += len(codes)
        self.count += len(codes)
        if self._waiting_bytes >= _WRITTEN_BYTES:
            self._hand_over()
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """Base codes written before."""
        self._flush()
        self._file.seek(_HEADER_BYTES + offset)
        codes = self._file.read(length)
        self._file.seek(0, os.SEEK_END)
        return codes

    def finish(self) -> None:
        self._flush()
        self._file.seek(0)
        self._file.write(_npy_header(self.count))

    def _hand_over(self) -> None:
        """Have the thread write what waits; what it was given before must be written first, so that little is in memory."""
        self._wait()
        self._writing = self._thread.submit(_write_all, self._file, self._waiting)
        self._waiting, self._waiting_bytes = [], 0

    def _flush(self) -> None:
        self._hand_over()
        self._wait()

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()


def _write_all(file: IO[bytes], parts: list[bytes]) -> None:
    file.write(b"".join(parts))


def _npy_header(count: int) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (count,)})
    return header.getvalue()


def file_entry(path: Path, stop: Event | None = None) -> dict[str, Any]:
    """Size and sha256 of a file, as `dataset.json` holds them.

    Args:
        stop: once it is set nobody waits for the answer, and what is given is of no meaning.
    """
    digest, block = hashlib.sha256(), bytearray(_HASHED_BYTES)
    with path.open("rb", buffering=0) as file:
        while not (stop is not None and stop.is_set()) and (count := file.readinto(block)):
            digest.update(memoryview(block)[:count])
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


_HEADER_BYTES = len(_npy_header(0))
"""numpy pads headers, so that it is the same for any length."""


def read_bases(path: Path, start: int, count: int) -> np.ndarray:
    """uint8: base codes from `start` on, at most `count`. Read, not mapped: mapped pages would count as this process's memory."""
    return np.fromfile(path, dtype=np.uint8, count=count, offset=_HEADER_BYTES + start)


class Dataset:
    """A dataset folder, opened for reading. Pickles as its path.

    Attributes:
        folder: where it lies.
        info: what `dataset.json` holds.
    """

    def __init__(self, folder: Path, info: dict[str, Any]) -> None:
        self.folder = folder
        self.info = info

    @classmethod
    def open(cls, folder: str | Path) -> "Dataset":
        """Open a dataset, checking that its files are the ones that were written (`bases.npy` by its size only).

        Raises:
            InputMissing: no such folder.
            DataError: no dataset, one of a newer genomix, or a changed file.
        """
        folder = Path(folder)
        info = _read_info(folder)
        _require_unchanged(folder, info)
        return cls(folder, info)

    def require_same(self) -> None:
        """Raise where the folder no longer holds what was opened: what is read later than the records would be of other ones.

        Raises:
            InputMissing: it is gone.
            DataError: it holds another dataset.
        """
        now = _read_info(self.folder)
        if any(now[part] != self.info[part] for part in ("files", "circular")):
            raise DataError("another dataset than the one that was opened: it was made anew meanwhile", where=str(self.folder))
        _require_unchanged(self.folder, self.info)

    def __reduce__(self) -> tuple[Callable[[Path], "Dataset"], tuple[Path]]:
        return Dataset.open, (self.folder,)

    def __len__(self) -> int:
        return int(self.info["counts"]["records"])

    @property
    def circular(self) -> bool:
        """Whether the molecules are circular."""
        return bool(self.info["circular"])

    @property
    def strand(self) -> Literal["both", "forward"]:
        """Whether a record's other strand means the same (`both`)."""
        return self.info["strand"]

    @property
    def digest(self) -> str:
        """A sha256 that names the content: the records, their bases and whether they are circular."""
        files = self.info["files"]
        content = (files[RECORDS_FILE]["sha256"], files[BASES_FILE]["sha256"], str(self.circular))
        return hashlib.sha256(" ".join(content).encode()).hexdigest()

    @cached_property
    def records(self) -> "pd.DataFrame":
        """`records.tsv`: text columns as str (empty where unknown, `NA` is text), length and offset as int64."""
        import pandas as pd  # a quarter of a second that preprocessing does not need

        types = {name: "int64" if name in _NUMBERS else "object" for name in RECORD_COLUMNS}
        return pd.read_csv(self.folder / RECORDS_FILE, sep="\t", dtype=types, keep_default_na=False, na_filter=False, encoding="utf-8")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted(set(self.records["label"]) - {""}))

    @cached_property
    def label_ids(self) -> np.ndarray:
        """int64 [record]: index into `classes`; -1 where unlabelled."""
        number = {label: place for place, label in enumerate(self.classes)}
        return np.array([number.get(label, -1) for label in self.records["label"]], dtype=np.int64)

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [record], in bases."""
        return self.records["length"].to_numpy(np.int64)

    @cached_property
    def _offsets(self) -> np.ndarray:
        return self.records["offset"].to_numpy(np.int64)

    @cached_property
    def _bases(self) -> np.ndarray:
        return np.asarray(np.load(self.folder / BASES_FILE, mmap_mode="r"))  # a plain view: slicing a memmap is slow

    def indices(self, split: str) -> np.ndarray:
        """int64: which records are in `train`, `validation` or `test`."""
        assert split in SPLITS, split
        return np.flatnonzero(self.records["split"].to_numpy() == split)

    def codes(self, record: int) -> np.ndarray:
        """uint8 [length], read-only: the base codes of a record."""
        start = self._offsets[record]
        return self._bases[start : start + self.lengths[record]]


def _read_info(folder: Path) -> dict[str, Any]:
    path = folder / INFO_FILE
    if not folder.exists():
        raise InputMissing("no such dataset folder", where=str(folder))
    if not path.is_file():
        raise DataError(f"no dataset: it holds no {INFO_FILE}", where=str(folder), hint="genomix preprocess makes one")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version = int(info["schema_version"])
        absent = _NEEDED - info.keys()
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("not written by genomix preprocess", where=str(path), hint="make the dataset again") from error
    if version > SCHEMA_VERSION:
        message = f"schema version {version}, this genomix reads up to {SCHEMA_VERSION}"
        raise DataError(message, where=str(path), hint="a newer genomix wrote it: install that one")
    if absent:
        raise DataError(f"it lacks {', '.join(sorted(absent))}", where=str(path), hint="make the dataset again")
    return info


def _require_unchanged(folder: Path, info: dict[str, Any]) -> None:
    for name, check_content in ((BASES_FILE, False), (RECORDS_FILE, True), (SIMILARITY_FILE, True)):
        if name == SIMILARITY_FILE and name not in info["files"]:
            continue  # without a split there is none
        path, written = folder / name, info["files"][name]
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            raise DataError("missing from the dataset", where=str(path), hint="make the dataset again")
        if size != written["bytes"] or (check_content and file_entry(path) != written):
            found = f"{size} bytes, expected {written['bytes']}" if size != written["bytes"] else "another content than was written"
            raise DataError(f"changed since it was written: {found}", where=str(path), hint="make the dataset again")
