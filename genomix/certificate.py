"""The length certificate: the record lengths at which a model's accuracy was measured to hold, and the warning of records outside it.

Accuracy is measured on records as they are and on crops of them (`audit.checks`). A crop holds where it costs at most `TOLERANCE` of accuracy, on the same
records, and these are enough to rule out that it costs more than `MOST`. The certificate runs from the shortest crop that holds, all longer ones holding too, to
the longest record of training and test. Where enough records
that were tested whole are shorter than that, and the answers to them are as good but for the tolerance, it begins at the 5th percentile of the lengths; of
records as short as a crop that does not hold nothing is said.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from genomix.records import Prediction, SequenceRecord

_log = logging.getLogger(__name__)

TOLERANCE = 0.05
"""Accuracy that a crop may cost and still hold."""

MOST = 0.1
"""Accuracy that a crop which holds does not cost, at the confidence of the intervals: of 10 records that all stay right a tenth of others may well not."""

FEWEST_RECORDS = 10
"""Records that a crop must be measured on; with fewer tested records there is no certificate."""

_SHORT = 0.05


def certify(
    crops: Sequence[Mapping[str, Any]], tested: np.ndarray, right: np.ndarray, longest: int, *, chance: float
) -> dict[str, Any] | None:
    """`shortest longest tolerance`, lengths in bases; None where too few records were tested that are longer than the crops that do not hold, or the answers are no
    better than one for all.

    Args:
        crops: `length`, `units` (records or groups) and `drop` (the accuracy that it costs, with its interval) of each crop that was measured.
        tested: int [record], lengths of the records that were tested whole.
        right: bool [record], whether the answers to those were.
        longest: of training and test.
        chance: accuracy of the most frequent class as the answer to all.
    """
    failed = max((crop["length"] for crop in crops if crop["drop"]["difference"] > TOLERANCE), default=0)
    longest_first = sorted((crop for crop in crops if crop["length"] > failed), key=lambda crop: -crop["length"])
    held = [crop["length"] for crop in takewhile(_is_bounded, longest_first)]
    whole = tested[tested > failed]
    if len(whole) < FEWEST_RECORDS or right.mean() <= chance:
        return None
    shortest = int(np.quantile(whole, _SHORT, method="lower"))
    if held and shortest < min(held):
        below = right[(tested > failed) & (tested >= shortest) & (tested < min(held))]
        if len(below) < FEWEST_RECORDS or below.mean() < right[tested > failed].mean() - TOLERANCE:
            shortest = min(held)
    return {"shortest": min([shortest, *held]), "longest": longest, "tolerance": TOLERANCE}


def highest_drop(drop: Mapping[str, Any], units: int) -> float | None:
    """The accuracy that a change costs at most, at the confidence of its interval; None where it has none.

    Args:
        drop: with its interval, `low high`.
        units: records, or sets of related ones, that it was measured on.
    """
    low, high = drop["low"], drop["high"]
    if high is None:
        return None
    return float(high + 3 / units if low == high else high)  # where no record tells, by the rule of three so many of others may still do


def _is_bounded(crop: Mapping[str, Any]) -> bool:
    highest = highest_drop(crop["drop"], crop["units"])
    return highest is not None and highest <= MOST


class LengthWatch:
    """Counts the classified records whose length is outside a model's certificate.

    Args:
        evaluation: of `model.json`; where it is None or has no certificate nothing is counted.
    """

    def __init__(self, evaluation: Mapping[str, Any] | None) -> None:
        certificate = evaluation or {}
        self.shortest, self.longest = certificate.get("shortest_certified"), certificate.get("longest_certified")
        self.seen = self.shorter = self.longer = 0

    def watch(self, predictions: Iterable[tuple[SequenceRecord, Prediction]]) -> Iterator[tuple[SequenceRecord, Prediction]]:
        """The same predictions, counted as they pass."""
        for record, prediction in predictions:
            if prediction.windows:
                self.see(prediction.length)
            yield record, prediction

    def see(self, length: int) -> None:
        """Count a record of so many bases."""
        if self.shortest is not None and self.longest is not None:
            self.seen += 1
            self.shorter += length < self.shortest
            self.longer += length > self.longest

    @property
    def counts(self) -> tuple[int, int, int]:
        """Seen, shorter, longer."""
        return self.seen, self.shorter, self.longer

    def add(self, seen: int, shorter: int, longer: int) -> None:
        """Count what another has counted."""
        self.seen, self.shorter, self.longer = self.seen + seen, self.shorter + shorter, self.longer + longer

    def warn(self) -> None:
        """One warning, where a record was outside."""
        outside = [
            f"{self.shorter} shorter than {self.shortest:,}" if self.shorter else "",
            f"{self.longer} longer than {self.longest:,}" if self.longer else "",
        ]
        if any(outside):
            _log.warning(
                "%d of %d records are outside the lengths at which the model's accuracy was measured to hold: %s bases",
                self.shorter + self.longer,
                self.seen,
                ", ".join(filter(None, outside)),
            )
