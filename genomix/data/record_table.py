"""The rows of `records.tsv`: gathered while records come in, written when their clusters and splits are known."""

import csv
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from genomix.data.labels import LabelledRecord
from genomix.data.store import RECORD_COLUMNS


class RecordTable:
    """The rows of `records.tsv` while they come in; kept in memory, unlike the bases."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.groups: list[str] = []
        self.splits: list[str] = []
        self.sources: list[str] = []
        self.sequences: list[str] = []
        self.starts = array("q")
        self.ordinals = array("q")
        self.lengths = array("q")
        self.offsets = array("q")

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, item: LabelledRecord, length: int, offset: int) -> None:
        """The next record, `length` bases from `offset` in `bases.npy`."""
        record, known = item.record, item.known
        self.ids.append(record.id)
        self.labels.append(sys.intern(known.label))  # these texts repeat from record to record
        self.groups.append(sys.intern(known.group))
        self.splits.append(sys.intern(known.split))
        self.sources.append(sys.intern(record.source))
        self.sequences.append(sys.intern(item.sequence_name))
        self.starts.append(item.start)
        self.ordinals.append(record.ordinal)
        self.lengths.append(length)
        self.offsets.append(offset)

    def where(self, number: int) -> str:
        """A record's place, for a message."""
        name = repr(self.ids[number]) if self.ids[number] else "without an id"
        return f"{self.sources[number]}, record {self.ordinals[number]} ({name})"

    def rows(self, kept: np.ndarray, splits: Sequence[str], clusters: Sequence[str]) -> Iterator[tuple]:
        """Rows of `records.tsv`.

        Args:
            kept: int [row], record numbers.
            splits, clusters: of each row.
        """
        for row, record in enumerate(kept.tolist()):
            yield (
                self.ids[record],
                self.labels[record],
                self.groups[record],
                splits[row],
                self.lengths[record],
                self.offsets[record],
                self.sources[record],
                self.sequences[record],
                clusters[row],
            )


def quoting(texts: Iterable[str]) -> Literal[0, 2]:
    """How the csv module has to quote a table that holds these texts."""
    # Before Python 3.13 it leaves a carriage return unquoted, and readers take it for a line end.
    return csv.QUOTE_NONNUMERIC if any("\r" in text for text in texts) else csv.QUOTE_MINIMAL


def write_records(path: Path, table: RecordTable, kept: np.ndarray, splits: Sequence[str], clusters: Sequence[str]) -> None:
    """Write `records.tsv` so that any text survives in it: tabs, quotes and line ends are quoted.

    Args:
        kept: int [row], the records to write.
        splits, clusters: of each row.
    """
    texts = {*table.labels, *table.groups, *table.sources, *table.sequences}
    # A file name that is no UTF-8 can't be written as it is.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=quoting(texts))
        rows.writerow(RECORD_COLUMNS)
        rows.writerows(table.rows(kept, splits, clusters))
