"""Which lengths a plan is made for: those that a user names, or those of a file or dataset."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from genomix.data.augment import Strand
from genomix.data.store import INFO_FILE, Dataset
from genomix.errors import UsageError
from genomix.formats import open_records

_QUANTILES = (0.0, 0.5, 0.9, 1.0)
"""Of the lengths in a file or dataset, for the rows of the table."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_WITH_UNIT = re.compile(r"(.*[\d.])\s*([kmg])(?:bp?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Bases of records.

    Attributes:
        rows: to show, one row each.
        training: of the records to train on; None where only lengths are known, and as many records of the longest as an update has are planned for.
        records: how many the file or dataset has; None where only lengths are known.
        classes: of a dataset; else 2.
        strand, circular: of a dataset; else what preprocessing takes where nobody says otherwise.
    """

    rows: tuple[int, ...]
    training: np.ndarray | None = None
    records: int | None = None
    classes: int = 2
    strand: Strand = "both"
    circular: bool = False


def read_lengths(words: Sequence[str]) -> Lengths:
    """Lengths that a user gives: numbers, or one sequence file or dataset folder.

    Raises:
        UsageError: they are neither, or a number is below 1.
        GenomixError: as reading the file or the dataset raises.
    """
    numbers = [_number(word) for words_of_one in words for word in words_of_one.split(",")]
    if all(number is not None for number in numbers):
        return Lengths(tuple(sorted({number for number in numbers if number is not None})))
    if len(words) > 1:
        raise UsageError("--lengths takes numbers, or one file or dataset folder", hint="as in --lengths 10k,1Mb")
    if not words[0]:
        raise UsageError("--lengths is empty", hint="as in --lengths 10k,1Mb")
    path = Path(words[0])
    if (path / INFO_FILE).exists():
        dataset = Dataset.open(path)
        train = dataset.indices("train")  # none where the records have no labels
        return Lengths(
            rows=_quantiles(dataset.lengths),
            training=dataset.lengths[train] if len(train) else dataset.lengths,
            records=len(dataset),
            classes=max(2, len(dataset.classes)),
            strand=dataset.strand,
            circular=dataset.circular,
        )
    found = np.array([len(record.sequence) for record in open_records(words[0])], dtype=np.int64)
    return Lengths(_quantiles(found), found, len(found))


def _quantiles(lengths: np.ndarray) -> tuple[int, ...]:
    return tuple(sorted({int(each) for each in np.quantile(lengths, _QUANTILES, method="nearest")}))


def _number(word: str) -> int | None:
    """A count of bases, `4600000`, `4.6e6` or `4.6Mb`; None where the word is no number."""
    parts = _WITH_UNIT.fullmatch(word.strip())
    number, unit = parts.groups() if parts else (word, "")
    try:
        value = Decimal(number.replace("_", "")) * _UNITS[unit.lower()]  # 4.35 kb are 4,350 bases, not 4,349.999...
    except InvalidOperation:
        return None
    if not value.is_finite() or not 1 <= value < 2**40:
        raise UsageError(f"expected a length of at least 1 base, and of less than 2^40, found {word}")
    if value != int(value):
        raise UsageError(f"expected a whole number of bases, found {word}")
    return int(value)
