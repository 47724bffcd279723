"""What a model says of each record that it is evaluated on: `predictions.tsv`, beside `metrics.json`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genomix.data.store import Dataset
from genomix.outputs import atomic_file
from genomix.tables import number, table_writer

EVALUATED_FILE = "predictions.tsv"

EVALUATED_COLUMNS = ("id", "source", "row", "true_label", "label", "probability", "margin")
"""Columns before the `prob_<class>` ones. `row` is that of `records.tsv`, from 1: ids may be empty, or the same in two files."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The records that were evaluated.

    Attributes:
        indices: which records of the dataset, int64 [record].
        labels: their labels, as `classes` numbers them, int64 [record].
        probabilities: float64 [record, class].
    """

    classes: Sequence[str]
    indices: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def write_evaluated(evaluated: Evaluated, dataset: Dataset, folder: Path) -> Path:
    """`predictions.tsv` in `folder`: a row a record, in the dataset's order.

    Raises:
        OutputError: it can't be written.
    """
    path = folder / EVALUATED_FILE
    with atomic_file(path) as file:
        writer = table_writer(file)
        writer.writerow([*EVALUATED_COLUMNS, *(f"prob_{name}" for name in evaluated.classes)])
        writer.writerows(_rows(evaluated, dataset))
    return path


def _rows(evaluated: Evaluated, dataset: Dataset) -> Iterator[list[str]]:
    """One at a time: a million rows of a hundred classes are gigabytes as text."""
    ids, sources = (dataset.records[name].to_numpy() for name in ("id", "source"))
    for index, label, row in zip(evaluated.indices.tolist(), evaluated.labels.tolist(), evaluated.probabilities, strict=True):
        second, best = np.partition(row, -2)[-2:].tolist()
        yield [
            ids[index],
            sources[index],
            str(index + 1),
            evaluated.classes[label],
            evaluated.classes[int(row.argmax())],
            number(best),
            number(best - second),
            *map(number, row.tolist()),
        ]
