"""The leak report: for every held-out record (validation, test) the training record that it is most like.

`similarity.tsv` has a row a held-out record: its id, label and split; id and label of the nearest training record, empty where none shares a hash with it;
their similarity (see `pairs`), 0 then, and empty for a record without any hash to compare; and the rows of both in `records.tsv`, counted from 0, as ids
may be empty or repeat.
"""

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genomix.data.nearest import nearest
from genomix.data.record_table import RecordTable, quoting
from genomix.data.sketches import Sketches, sketch_records
from genomix.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from genomix.data.store import BASES_FILE, SIMILARITY_FILE, Dataset

_log = logging.getLogger(__name__)

COLUMNS = ("id", "label", "split", "nearest", "nearest_label", "similarity", "row", "nearest_row")

_NAMED = 3
"""Near-duplicates that a warning names."""


@dataclass(frozen=True, slots=True)
class Leaks:
    """What held-out records have in training.

    Attributes:
        rows: int64, the held-out records, rising.
        nearest: int64, the most similar training record of each, -1 where none shares a hash.
        similarity: float64, theirs; 0 where none shares a hash, NaN where the record has no hash.
        highest: the similarity of the most alike pair of records on two sides of the split, whichever sides.
    """

    rows: np.ndarray
    nearest: np.ndarray
    similarity: np.ndarray
    highest: float


def find_leaks(sketches: Sketches, sides: np.ndarray) -> Leaks:
    """Look for every held-out record in training.

    Args:
        sides: int [record], index into SPLITS.
    """
    train, validation, test = (np.flatnonzero(sides == side) for side in (TRAIN, VALIDATION, TEST))
    rows = np.flatnonzero(sides != TRAIN)
    found, similarity = nearest(sketches, rows, train)
    _, between = nearest(sketches, test, validation)
    return Leaks(rows, found, similarity, max(np.nan_to_num(part).max(initial=0.0) for part in (similarity, between)))


def leak_figures(leaks: Leaks, sides: np.ndarray, similarity: float) -> dict[str, dict[str, Any]]:
    """What `dataset.json` says of validation and test: records, near-duplicates of training among them, and the quartiles of the similarities."""
    figures = {}
    for side in (VALIDATION, TEST):
        chosen = leaks.similarity[sides[leaks.rows] == side]
        if len(chosen):
            compared = chosen[np.isfinite(chosen)]
            figures[SPLITS[side]] = {
                "records": len(chosen),
                "uncompared": len(chosen) - len(compared),
                "near_duplicates": int((compared >= similarity).sum()),
                "quartiles": np.quantile(compared, [0.25, 0.5, 0.75]).round(6).tolist() if len(compared) else None,
            }
    return figures


def warn_of_leaks(table: RecordTable, records: np.ndarray, leaks: Leaks, sides: np.ndarray, similarity: float) -> None:
    """Say how many records of validation and test have a near-duplicate in training, and which are the worst.

    Args:
        records: int [row], the number in the table of each row.
    """
    for side in (TEST, VALIDATION):
        inside = np.flatnonzero(sides[leaks.rows] == side)
        near = worst_first(leaks.similarity, inside, similarity)
        if len(near):
            pairs = (
                f"{_name(table.ids[records[leaks.rows[place]]])} is {leaks.similarity[place]:.3f} like {_name(table.ids[records[leaks.nearest[place]]])}"
                for place in near[:_NAMED]
            )
            more = f" and {len(near) - _NAMED:,} more" if len(near) > _NAMED else ""
            _log.warning(
                "%s of %s %s records have a near-duplicate in train (similarity %g or more): %s%s; %s has the nearest of each",
                f"{len(near):,}",
                f"{len(inside):,}",
                SPLITS[side],
                similarity,
                ", ".join(pairs),
                more,
                SIMILARITY_FILE,
            )


def worst_first(similarity: np.ndarray, places: np.ndarray, threshold: float) -> np.ndarray:
    """Of these places those whose similarity is at least the threshold, the highest first."""
    near = places[similarity[places] >= threshold]
    return near[np.argsort(-similarity[near], kind="stable")]


def write_similarity(path: Path, table: RecordTable, records: np.ndarray, splits: Sequence[str], leaks: Leaks) -> None:
    """Write `similarity.tsv`.

    Args:
        records: int [row], the number in the table of each row.
        splits: of each row.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=quoting(table.labels))
        rows.writerow(COLUMNS)
        rows.writerows(_table_rows(table, records.tolist(), splits, leaks))


def _table_rows(table: RecordTable, records: Sequence[int], splits: Sequence[str], leaks: Leaks) -> Iterator[tuple]:
    for row, other, alike in zip(leaks.rows.tolist(), leaks.nearest.tolist(), leaks.similarity.tolist(), strict=True):
        own = table.ids[records[row]], table.labels[records[row]], splits[row]
        its = (table.ids[records[other]], table.labels[records[other]]) if other >= 0 else ("", "")
        yield *own, *its, "" if np.isnan(alike) else f"{alike:.6f}", row, other if other >= 0 else ""


def nearest_training(dataset: Dataset, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training record of each of these held-out records: from `similarity.tsv`, or counted where the dataset has none.

    Args:
        indices: int64, records of `validation` or `test`.

    Returns:
        int64, the training records, -1 where none shares a hash; float64, the similarity, 0 there and NaN for a record without a hash to compare.
    """
    rows, found, similarity = _written(dataset) if SIMILARITY_FILE in dataset.info["files"] else _counted(dataset)
    place = np.searchsorted(rows, indices)
    if len(indices) and not np.array_equal(rows[np.minimum(place, len(rows) - 1)], indices):
        raise ValueError("a training record has no nearest training record: ask for held-out ones")
    return found[place], similarity[place]


def _written(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import pandas as pd

    table = pd.read_csv(dataset.folder / SIMILARITY_FILE, sep="\t", usecols=["similarity", "row", "nearest_row"])
    return table["row"].to_numpy(np.int64), table["nearest_row"].fillna(-1).to_numpy(np.int64), table["similarity"].to_numpy(np.float64)


def _counted(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sketches = sketch_records(dataset.folder / BASES_FILE, dataset.records["offset"].to_numpy(np.int64), dataset.lengths)
    train = dataset.indices("train")
    rows = np.sort(np.concatenate([dataset.indices("validation"), dataset.indices("test")]))
    return rows, *nearest(sketches, rows, train)


def _name(identifier: str) -> str:
    return repr(identifier) if identifier else "a record without an id"
