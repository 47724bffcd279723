"""What the network makes of records that were changed: their blocks shuffled (does order matter, and at which scale?), and cropped (does it hold for shorter ones?).

Shuffling cuts a record into blocks of so many bases and puts them in random order; inside a block nothing changes. Each joint makes k - 1 k-mers that were
not there, one in two hundred at 1,000 bases and k = 6. A crop is a random stretch of a record, linear also where the record is a ring; it is compared with
the whole records that it was cut from. Every record draws from (seed, size, record), so a result does not depend on which others are checked.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from genomix.audit.shortcuts import RESAMPLES
from genomix.certificate import FEWEST_RECORDS, certify
from genomix.data.store import Dataset
from genomix.metrics import headline, paired_gain
from genomix.metrics.bootstrap import sampling_units
from genomix.scorer import Scorer

BLOCKS = (1_000, 4_000, 16_000)
"""Bases of a block, where the median record has more than two."""

CROPS = (1_000, 4_000, 16_000, 64_000)
"""Bases of a crop, where `FEWEST_RECORDS` records are longer."""

MOST_RECORDS = 500
MOST_BASES = 8_000_000
"""Records and bases that one check reads, at most; larger splits are sampled."""

_SHUFFLE, _CROP, _SAMPLE = range(3)

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Base codes of a record, uint8 [length], and its random numbers -> what the network is shown."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """The records that are checked, and the answers for them as they are.

    Attributes:
        records: int [record], which of the dataset.
        labels: int [record].
        whole: float64 [record, class].
        groups: what the bootstrap draws together, or None.
    """

    records: np.ndarray
    labels: np.ndarray
    whole: np.ndarray
    groups: np.ndarray | None

    def part(self, chosen: np.ndarray) -> "_Sample":
        groups = None if self.groups is None else self.groups[chosen]
        return _Sample(self.records[chosen], self.labels[chosen], self.whole[chosen], groups)


def run_checks(
    scorer: Scorer,
    dataset: Dataset,
    indices: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    groups: np.ndarray | None,
    seed: int,
    own: bool = True,
    longest_trained: int | None = None,
) -> dict[str, Any]:
    """The `checks` section of `metrics.json`, and the `length_certificate`.

    Args:
        indices: int [record], the records of the split.
        labels: int [record], as the model numbers classes.
        probabilities: float64 [record, class], of the records as they are.
        own: whether the model was trained on this dataset.
        longest_trained: bases of the longest record that trained it, of a model trained on another one; None where that is not known.

    Returns:
        `checks`: `records of seed resamples longest_trained`, `whole` (accuracy and macro-F1 of the checked records as they are), `shuffles` and `crops` (a row a size:
        `block` or `length`, `records accuracy macro_f1`, `units` (records or groups), `drop`: the accuracy that the change costs, with its interval), and `skipped` (`check size reason`).
        `length_certificate`: see `genomix.certificate`; None for records that trained the model.
    """
    lengths = dataset.lengths[indices]
    chosen = sampled(lengths, seed)
    sample = _Sample(indices, labels, probabilities, groups).part(chosen)
    skipped: list[dict[str, Any]] = []
    shuffles = _shuffles(scorer, dataset, sample, seed, skipped)
    crops = _crops(scorer, dataset, sample, seed, skipped)
    trained = dataset.indices("train") if own else np.empty(0, dtype=np.int64)
    if own:
        longest_trained = int(dataset.lengths[trained].max(initial=0)) or None
    longest = max(int(lengths.max()), longest_trained or 0)
    known = bool(np.isin(indices, trained).any())  # what the network was trained on it answers at any length
    return {
        "checks": {
            "records": len(chosen),
            "of": len(indices),
            "seed": seed,
            "resamples": RESAMPLES,
            "longest_trained": longest_trained,
            "whole": _figures(sample.labels, sample.whole),
            "shuffles": shuffles,
            "crops": crops,
            "skipped": skipped,
        },
        "length_certificate": None
        if known
        else certify(crops, lengths, probabilities.argmax(1) == labels, longest, chance=np.bincount(labels).max() / len(labels)),
    }


def sampled(lengths: np.ndarray, seed: int) -> np.ndarray:
    """Which records are checked, int, sorted: all, or a random sample within `MOST_RECORDS` and `MOST_BASES`, but not fewer than `FEWEST_RECORDS`."""
    order = np.random.default_rng((seed, _SAMPLE)).permutation(len(lengths))
    affordable = int((np.cumsum(lengths[order]) <= MOST_BASES).sum())
    return np.sort(order[: max(FEWEST_RECORDS, min(MOST_RECORDS, affordable))])


def shuffled(codes: np.ndarray, rng: np.random.Generator, *, block: int) -> np.ndarray:
    """The record with its blocks in random order; the last block may be shorter."""
    starts = np.arange(0, len(codes), block)
    return np.concatenate([codes[start : start + block] for start in rng.permutation(starts)]) if len(starts) > 1 else codes


def cropped(codes: np.ndarray, rng: np.random.Generator, *, length: int) -> np.ndarray:
    """A random stretch of the record."""
    start = int(rng.integers(max(0, len(codes) - length) + 1))
    return codes[start : start + length]


def _shuffles(scorer: Scorer, dataset: Dataset, sample: _Sample, seed: int, skipped: list[dict[str, Any]]) -> list[dict[str, Any]]:
    median = float(np.median(dataset.lengths[sample.records]))
    rows = []
    for block in BLOCKS:
        if block * 2 >= median:
            skipped.append(
                {"check": "shuffle", "size": block, "reason": f"the median record has {median:,.0f} bases, not above two blocks"}
            )
            continue
        changed = _changed(dataset, sample.records, partial(shuffled, block=block), (seed, _SHUFFLE, block))
        rows.append({"block": block, **_measured(scorer, changed, sample, seed)})
    return rows


def _crops(scorer: Scorer, dataset: Dataset, sample: _Sample, seed: int, skipped: list[dict[str, Any]]) -> list[dict[str, Any]]:
    linear = scorer.linear()
    rows = []
    for length in CROPS:
        longer = sample.part(dataset.lengths[sample.records] > length)
        if len(longer.records) < FEWEST_RECORDS or length < scorer.tokenizer.k:
            reason = f"{len(longer.records)} of the checked records are longer, and {FEWEST_RECORDS} are needed"
            skipped.append({"check": "crop", "size": length, "reason": reason})
            continue
        changed = _changed(dataset, longer.records, partial(cropped, length=length), (seed, _CROP, length))
        whole = _figures(longer.labels, longer.whole)
        rows.append({"length": length, **_measured(linear, changed, longer, seed), "whole": whole})
    return rows


def _changed(dataset: Dataset, records: np.ndarray, change: Change, seed: tuple[int, ...]) -> Iterable[np.ndarray]:
    return (change(dataset.codes(record), np.random.default_rng((*seed, int(record)))) for record in records)


def _measured(scorer: Scorer, changed: Iterable[np.ndarray], sample: _Sample, seed: int) -> dict[str, Any]:
    answers = np.stack([scores.probabilities for scores in scorer.score(changed)])
    drop = paired_gain(sample.labels, sample.whole, answers, metric="accuracy", groups=sample.groups, resamples=RESAMPLES, seed=seed)
    units = sampling_units(len(sample.records), sample.groups)
    return {"records": len(sample.records), "units": units, **_figures(sample.labels, answers), "drop": drop}


def _figures(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    figures = headline(labels, probabilities)
    return {name: figures[name] for name in ("accuracy", "macro_f1")}
