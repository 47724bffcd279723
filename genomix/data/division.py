"""From a split method to each record's split, with the figures that say how far the split can be trusted."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genomix.data.clusters import find_clusters
from genomix.data.held_back import held_back_classes, warn_of_classes
from genomix.data.label_text import listed
from genomix.data.leaks import Leaks, find_leaks, leak_figures, warn_of_leaks
from genomix.data.overlaps import count_overlapping, find_intervals, join_overlapping, overlap_notes, warn_of_overlaps
from genomix.data.record_table import RecordTable
from genomix.data.related import divisible, related
from genomix.data.sketches import Sketches
from genomix.data.splits import SPLITS, TRAIN, VALIDATION, SplitMethod, SplitSettings, carve_validation, deal
from genomix.errors import DataError

_log = logging.getLogger(__name__)

_NAMED = 3
"""Classes that a note names."""
_CHAINED = " as near-duplicates or overlapping intervals"
_SHORTER_CHAINS = "overlapping intervals stay together: windows that start where the one before ends don't overlap; --split sequence holds out whole contigs"


@dataclass(frozen=True, slots=True)
class Division:
    """How the records are split.

    Attributes:
        splits: of each row, the split's name; empty where the data are unlabelled.
        clusters: of each row, the number of its near-duplicate cluster, overlapping intervals included where the split kept them together; empty where the
            data are unlabelled.
        figures: what `dataset.json` says of the split; None where there is none.
        leaks: what the held-out records have in training; None where there is no split.
    """

    splits: Sequence[str]
    clusters: Sequence[str]
    figures: dict[str, Any] | None
    leaks: Leaks | None = None


def divide(table: RecordTable, rows: np.ndarray, sketches: Sketches | None, settings: SplitSettings) -> Division:
    """Split the records.

    Args:
        rows: int [row], which records of the table are kept.
        sketches: of the rows; None for unlabelled data, which get no split.

    Raises:
        DataError: one class only, a class too small, no groups to keep together, or a class or a split without records.
    """
    if sketches is None:
        nothing = [""] * len(rows)
        return Division(nothing, nothing, None)
    names = [table.labels[row] for row in rows]
    classes = sorted(set(names))
    _require_two(classes)
    labels = _numbers(names, classes)
    clusters = find_clusters(sketches, settings.similarity)
    intervals = find_intervals(table, rows)
    chained = settings.method == "cluster" and len(intervals.linked) > 0
    together = join_overlapping(clusters, intervals) if chained else clusters
    sides, groups, notes = _sides(table, rows, labels, together, classes=classes, settings=settings, chained=chained)
    _require_trained(sides, labels, classes)
    held_back = held_back_classes(sides, labels, groups, classes, why=_CHAINED if chained else "")
    warn_of_classes(held_back)
    # What is divided to carve validation out of train has a note; it takes nothing from what test records tell.
    dealt = [table.splits[row] for row in rows] if settings.method == "column" else sides.tolist()
    divided = _divided_groups([table.groups[row] for row in rows], dealt)
    _warn_of_groups(divided, settings.method)
    leaks = find_leaks(sketches, sides)
    warn_of_leaks(table, rows, leaks, sides, settings.similarity)
    overlapping = count_overlapping(intervals, sides)
    warn_of_overlaps(overlapping, np.bincount(sides, minlength=len(SPLITS)), settings.method)
    figures = {
        "method": settings.method,
        "seed": settings.seed,
        "fractions": list(settings.fractions),
        "similarity": settings.similarity,
        "clusters": int(clusters.max()) + 1,
        "largest_cluster": int(np.bincount(clusters).max()),
        "highest_similarity": round(leaks.highest, 6),
        "uncompared_records": int(sketches.empty.sum()),
        "median_hashes": float(np.median(sketches.counts)),
        "sketch_density": sketches.density,
        "fine_sketch_density": sketches.fine.density if sketches.fine else None,
        "held_out": leak_figures(leaks, sides, settings.similarity),
        "overlapping": overlapping,
        "held_back": held_back,
        "divided_groups": divided[0],
        "records": _counts(sides, labels, classes),
        "notes": notes + overlap_notes(intervals) if chained else notes,
    }
    return Division([SPLITS[side] for side in sides], list(map(str, together.tolist())), figures, leaks)


def _sides(
    table: RecordTable,
    rows: np.ndarray,
    labels: np.ndarray,
    clusters: np.ndarray,
    *,
    classes: list[str],
    settings: SplitSettings,
    chained: bool,
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """int8 [row], index into SPLITS; int [row], which rows had to stay together (None: the table said); and what a reader of the scores should know."""
    notes: list[str] = []
    match settings.method:
        case "column":
            sides, notes = _column_sides(table, rows, labels, clusters, classes=classes, settings=settings)
            return sides, None, notes
        case "cluster":
            groups = clusters
        case "stratified":
            groups = np.arange(len(rows))
        case "sequence":
            groups = _group_numbers(table.sequences[row] for row in rows)
            _warn_of_single_records(groups, "source sequence")
        case "group":
            named = [table.groups[row] for row in rows]
            groups, notes = _group_numbers(named), _note_groupless(named)
            _warn_of_single_records(groups, "group")
    return deal(labels, groups, classes, settings, smaller=_SHORTER_CHAINS if chained else None), groups, notes


def _column_sides(
    table: RecordTable, rows: np.ndarray, labels: np.ndarray, clusters: np.ndarray, *, classes: list[str], settings: SplitSettings
) -> tuple[np.ndarray, list[str]]:
    sides = _numbers([table.splits[row] for row in rows], SPLITS).astype(np.int8)
    if (sides == VALIDATION).any():
        return sides, []
    if not (sides == TRAIN).any():
        return sides, ["the split column names test records only: a dataset to evaluate models on, not to train"]
    _require_trained(sides, labels, classes)
    train = np.flatnonzero(sides == TRAIN)
    named = [table.groups[row] for row in rows[train]]
    groups = np.zeros(len(rows), dtype=np.int64)
    groups[train] = divisible(labels[train], related(named, list(map(str, clusters[train].tolist()))))
    alone = np.unique(labels[train][groups[train] >= len(train)])
    kept = f"near-duplicates {'and groups ' if any(named) else ''}kept together"
    if len(alone):
        kept += f", but for those of {listed([repr(classes[label]) for label in alone], _NAMED)}, all relatives of each other"
    carved = carve_validation(sides, labels, groups, settings)
    whole = np.setdiff1d(labels[train], labels[carved == VALIDATION])
    if len(whole):
        kept += f"; training records of {listed([repr(classes[label]) for label in whole], _NAMED)} are too few to take any from"
    return carved, [f"the split column names no validation records: they were taken from train (seed {settings.seed}), {kept}"]


def _group_numbers(names: Iterable[str]) -> np.ndarray:
    """int64: one number for each name, from 0; a record without one is a group of its own."""
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(name or place, len(numbers)) for place, name in enumerate(names)], dtype=np.int64)


def _note_groupless(names: list[str]) -> list[str]:
    groupless = sum(not name for name in names)
    if groupless == len(names):
        raise DataError("--split group, but no record has a group", hint="a column `group` in the label table, or --group-column NAME")
    return [f"{groupless} records have no group: each is a group of its own"] if groupless else []


def _divided_groups(names: Sequence[str], sides: Sequence[int | str]) -> tuple[int, int]:
    """How many groups have records in several splits, and how many groups there are."""
    seen: dict[str, int | str] = {}
    divided = set()
    for name, side in zip(names, sides, strict=True):
        if name and seen.setdefault(name, side) != side:
            divided.add(name)
    return len(divided), len(seen)


def _warn_of_groups(divided: tuple[int, int], method: SplitMethod | None) -> None:
    """A split that pays no heed to the table's groups."""
    if divided[0]:
        _log.warning(
            "%s of %s groups have records on several sides of %s: figures of held-out records may only show that "
            "their group is known; --split group keeps each on one side",
            *(f"{count:,}" for count in divided),
            "your split column" if method == "column" else f"the split, which is by {method}",
        )


def _warn_of_single_records(groups: np.ndarray, what: str) -> None:
    if len(groups) == int(groups.max()) + 1:
        _log.warning(
            "every record has a %s of its own, so nothing is kept together, near-duplicates neither; --split cluster keeps those together",
            what,
        )


def _numbers(names: Sequence[str], ordered: Sequence[str]) -> np.ndarray:
    """int64: the place of each name among `ordered`."""
    place = {name: number for number, name in enumerate(ordered)}
    return np.fromiter((place[name] for name in names), dtype=np.int64, count=len(names))


def _counts(sides: np.ndarray, labels: np.ndarray, classes: list[str]) -> dict[str, dict[str, int]]:
    """Class -> split -> records."""
    table = np.zeros((len(classes), len(SPLITS)), dtype=np.int64)
    np.add.at(table, (labels, sides), 1)
    return {name: dict(zip(SPLITS, row, strict=True)) for name, row in zip(classes, table.tolist(), strict=True)}


def _require_two(classes: list[str]) -> None:
    if len(classes) < 2:
        raise DataError(
            f"all records are of one class, {classes[0]!r}: a classifier needs at least two",
            hint="NAME=file.fa for each class, for example",
        )


def _require_trained(sides: np.ndarray, labels: np.ndarray, classes: list[str]) -> None:
    """Where nothing at all is to be learnt from, as a table may say, the dataset is one to evaluate models on: `train` refuses it."""
    if not (sides == TRAIN).any():
        return
    absent = np.setdiff1d(labels, labels[sides == TRAIN])
    if len(absent):
        raise DataError(
            f"class {classes[absent[0]]!r} has no record in train", hint="a network learns a class only from its training records"
        )
