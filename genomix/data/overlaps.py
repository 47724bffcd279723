"""Intervals of a genome that overlap: they share bases, so a held-out one whose neighbour is in training is known in part.

Similarity says little of that (two windows that share a tenth of their bases are .87 alike), but the places are known. What hangs together by overlaps is a
chain; windows that tile a contig are one chain, of which nothing could be held out, so a long one is cut into stretches. Only where those meet is anything
shared, and that is counted.
"""

import logging
from dataclasses import dataclass

import numpy as np

from genomix.data.clusters import merge, number_by_appearance
from genomix.data.record_table import RecordTable
from genomix.data.splits import SPLITS, TEST, TRAIN, VALIDATION, SplitMethod

_log = logging.getLogger(__name__)

_PART, _FEWEST = 50, 20
"""A chain of more than one in `_PART` of the records is cut, one of `_FEWEST` or fewer never: then a test split of windows that tile a genome has several
stretches, and few intervals at their ends."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """The intervals among some records, in the order of their starts. All contigs stand one after the other on one line of numbers, and no two of them touch.

    Attributes:
        rows: int64, which records they are.
        starts, ends: int64, end not included.
        stretch: int64, rising from 0: one number for intervals that hang together by overlaps, or for a stretch of them.
        cut: whether there are chains of several stretches.
    """

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    stretch: np.ndarray
    cut: bool

    @property
    def linked(self) -> np.ndarray:
        """int64: the places of those that are in one stretch with the next."""
        return np.flatnonzero(np.diff(self.stretch) == 0)


def find_intervals(table: RecordTable, records: np.ndarray) -> Intervals:
    """The intervals among these records.

    Args:
        records: int [row], numbers in the table.
    """
    starts = np.asarray(table.starts, dtype=np.int64)[records]
    rows = np.flatnonzero(starts >= 0)
    starts = starts[rows]
    ends = starts + np.asarray(table.lengths, dtype=np.int64)[records[rows]]
    numbers: dict[str, int] = {}
    contigs = np.array([numbers.setdefault(table.sequences[record], len(numbers)) for record in records[rows]], dtype=np.int64)
    before = contigs * ends.max(initial=0)
    starts, ends = starts + before, ends + before
    order = np.argsort(starts, kind="stable")
    stretch, cut = _stretches(starts[order], ends[order], max(len(records) // _PART, _FEWEST))
    return Intervals(rows[order], starts[order], ends[order], stretch, cut)


def _stretches(starts: np.ndarray, ends: np.ndarray, longest: int) -> tuple[np.ndarray, bool]:
    """int64 [interval]: numbers of chains, those of more than `longest` intervals cut evenly; and whether any was."""
    begins = np.ones(len(starts), dtype=bool)
    begins[1:] = starts[1:] >= np.maximum.accumulate(ends)[:-1]
    chain = np.cumsum(begins) - 1
    sizes = np.bincount(chain)
    pieces = -(-sizes // longest)
    place = np.arange(len(starts)) - np.flatnonzero(begins)[chain]
    piece = place * pieces[chain] // sizes[chain]
    begins[1:] |= np.diff(piece) != 0
    return np.cumsum(begins) - 1, bool((pieces > 1).any())


def join_overlapping(clusters: np.ndarray, intervals: Intervals) -> np.ndarray:
    """int64 [record]: clusters, those that have intervals of one stretch made one.

    Args:
        clusters: int64 [record], from 0 to below the number of records.
    """
    linked = intervals.linked
    return number_by_appearance(merge(clusters, intervals.rows[linked], intervals.rows[linked + 1]))


def overlap_notes(intervals: Intervals) -> list[str]:
    """What a reader of scores should know where overlapping intervals were kept together."""
    linked = intervals.linked
    if not len(linked):
        return []
    count, longest = len(np.union1d(linked, linked + 1)), int(np.bincount(intervals.stretch).max())
    cut = ", longer chains cut into stretches" if intervals.cut else ""
    return [f"overlapping intervals stay on one side: {count:,} of {len(intervals.rows):,}, up to {longest:,} together{cut}"]


def count_overlapping(intervals: Intervals, sides: np.ndarray) -> dict[str, int]:
    """Of `validation` and `test`, how many intervals overlap one of training; empty where no record is an interval.

    Args:
        sides: int [record], index into SPLITS.
    """
    if not len(intervals.rows):
        return {}
    side = sides[intervals.rows]
    train = side == TRAIN
    reach = np.concatenate([[0], np.maximum.accumulate(intervals.ends[train])])  # of the first 0, 1, 2 ... training intervals
    counts = {}
    for held_out in (VALIDATION, TEST):
        starts, ends = intervals.starts[side == held_out], intervals.ends[side == held_out]
        counts[SPLITS[held_out]] = int((reach[np.searchsorted(intervals.starts[train], ends)] > starts).sum())
    return counts


def warn_of_overlaps(counts: dict[str, int], records: np.ndarray, method: SplitMethod | None) -> None:
    """Say how many intervals of validation and test overlap one of training.

    Args:
        counts: as `count_overlapping` gives them.
        records: int [split], how many it has.
    """
    for split, count in counts.items():
        if count:
            _log.warning(
                "%s of %s %s records are intervals that overlap one of training, so the model knows a part of them; %s",
                f"{count:,}",
                f"{records[SPLITS.index(split)]:,}",
                split,
                "chains too long to be held out were cut there, --split sequence holds out whole contigs"
                if method == "cluster"
                else "--split cluster keeps overlapping intervals on one side",
            )
