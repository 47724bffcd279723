"""Intervals by the bootstrap: how far the figures of a split could lie from those of other records of the same kind.

A resample draws as many records as there are, with replacement, so it is a weight a record: how often it was drawn (`weighted.Judged`).

Records that are related (one genus, one gene) are not independent. With `groups`, whole groups are drawn instead, which widens the intervals to what
a new group would see. Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 (percentile intervals) and 8.

Percentile intervals of few units are too narrow, so they are expanded as Student's t is beside the normal distribution (Hesterberg, The American
Statistician 69, 2015). Below `fewest_units` there is none. A figure that averages over classes has the degrees of freedom of such a mean (`freedom_of_classes`): a
rare class counts there as much as a common one, and a few records tell of it.

The calibration error has no interval: it is a sum of distances, which resampling adds to (`calibration.error_by_chance` says what chance makes).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
from scipy.special import ndtr, stdtrit

from genomix.metrics.figures import FIGURES, FIGURES_OF_DECISIONS, FIGURES_OVER_CLASSES, headline
from genomix.metrics.weighted import Judged, figures_of_decisions

RESAMPLES = 1000
CONFIDENCE = 0.95

_FEWEST_OF_TWO = 3
"""Records or groups of each of two classes; with fewer even the widest interval from resamples covers the truth in 82 of 100 cases."""
_WEIGHTS_AT_ONCE = 1 << 20
"""Weights that are held at a time; bounds the memory to some tens of MB whatever the split's size."""


def bootstrap_intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> dict[str, list[float] | None]:
    """Percentile intervals `[low, high]` of every headline figure.

    Args:
        groups: a name a record; records of one name are drawn together, a record with an empty name alone.
        confidence: the part of the resamples inside the interval, 0 to 1.

    A figure that has no value, the calibration error, and every figure where there are fewer than `fewest_units` records (or groups) to draw from, gets None; so
    does one that averages over two classes where one of them has fewer than three. A resample in which a figure has no value (one class drawn) is left out of that
    figure's interval.

    Raises:
        DataError: no records.
    """
    (draws,) = resampled_figures(labels, [probabilities], groups=groups, resamples=resamples, seed=seed)
    return intervals_of(headline(labels, probabilities), draws, confidence)


def paired_gain(
    labels: np.ndarray,
    probabilities: np.ndarray,
    reference: np.ndarray,
    *,
    metric: str = "macro_f1",
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> dict:
    """How much higher a figure is with `probabilities` than with `reference`: `metric difference low high confidence`.

    Both are read on the same resamples, so what makes a record hard for both cancels. `difference` is None where either has no value, `low` and
    `high` also where `bootstrap_intervals` gives None. An interval from answers that differ in fewer than `fewest_units` records (or groups) holds 0: so many favour
    one of two equal classifiers by chance.

    Raises:
        DataError: no records.
    """
    answers = [probabilities, reference]
    ours, theirs = resampled_figures(
        labels, answers, groups=groups, resamples=resamples, seed=seed, decisions=metric in FIGURES_OF_DECISIONS
    )
    points = [headline(labels, each) for each in answers]
    differing = differing_units(*answers, groups=groups, decisions=metric in FIGURES_OF_DECISIONS)
    return gain_of(metric, (points[0], ours), (points[1], theirs), confidence, differing=differing)


@dataclass(frozen=True, slots=True)
class Draws:
    """What a classifier reaches on each resample.

    Attributes:
        figures: name -> float64 [resamples], NaN where it has no value.
        units: records or groups that a resample draws.
        freedom: degrees of freedom of a mean over classes.
    """

    figures: dict[str, np.ndarray]
    units: int
    freedom: float

    def interval(self, name: str, values: np.ndarray, confidence: float) -> list[float] | None:
        """`[low, high]` of what the resamples gave for this figure, or for a difference of it."""
        freedom = min(self.freedom, self.units - 1) if name in FIGURES_OVER_CLASSES else self.units - 1
        return interval(values, self.units, confidence, freedom=freedom)


def fewest_units(confidence: float) -> int:
    """Records or groups below which nothing can be told at this confidence: where two classifiers are alike, all units favour one of them by chance more
    often than the interval may miss, and every resample agrees with them then. 6 for 95%."""
    return 1 + ceil(log2(1 / (1 - confidence)) - 1e-9)


def resampled_figures(
    labels: np.ndarray,
    answers: Sequence[np.ndarray],
    *,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    decisions: bool = False,
) -> list[Draws]:
    """The figures of each resample, for the probabilities of several classifiers: all are read on the same resamples.

    Args:
        decisions: only the figures that need no more than the predicted classes.
    """
    figures = [_figures_of(labels, probabilities, decisions=decisions) for probabilities in answers]
    found = [[each(weights) for each in figures] for weights in resampled_weights(len(labels), groups, resamples, seed)]
    units, freedom = sampling_units(len(labels), groups), freedom_of_classes(labels, groups)
    return [
        Draws({name: np.concatenate([draw[name] for draw in draws]) for name in draws[0]}, units, freedom)
        for draws in zip(*found, strict=True)
    ]


def _figures_of(labels: np.ndarray, probabilities: np.ndarray, *, decisions: bool) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    if decisions:
        return lambda weights: figures_of_decisions(labels, probabilities, weights)
    return Judged(labels, probabilities).figures


def intervals_of(points: dict, draws: Draws, confidence: float) -> dict[str, list[float] | None]:
    """What `bootstrap_intervals` gives, from the headline figures and their draws."""
    return {
        name: None if points[name] is None or name == "ece" else draws.interval(name, draws.figures[name], confidence) for name in FIGURES
    }


def gain_of(metric: str, ours: tuple[dict, Draws], theirs: tuple[dict, Draws], confidence: float, *, differing: int) -> dict[str, Any]:
    """What `paired_gain` gives, from the headline figures of two classifiers, their draws, and the units that they answer differently."""
    gain = {"metric": metric, "difference": None, "low": None, "high": None, "confidence": confidence}
    if ours[0][metric] is None or theirs[0][metric] is None:
        return gain
    gain["difference"] = ours[0][metric] - theirs[0][metric]
    differences = ours[1].figures[metric] - theirs[1].figures[metric]
    low, high = ours[1].interval(metric, differences, confidence) or (None, None)
    if low is not None and high is not None and differing < fewest_units(confidence):
        low, high = min(low, 0.0), max(high, 0.0)
    gain["low"], gain["high"] = low, high
    return gain


def differing_units(answers: np.ndarray, others: np.ndarray, *, groups: np.ndarray | None, decisions: bool = True) -> int:
    """Records or groups that two classifiers answer differently.

    Args:
        answers, others: probabilities, float64 [record, class].
        decisions: whether only the predicted classes count.
    """
    differ = answers.argmax(1) != others.argmax(1) if decisions else (answers != others).any(1)
    return len(np.unique(unit_of_record(len(answers), groups)[differ]))


def freedom_of_classes(labels: np.ndarray, groups: np.ndarray | None) -> float:
    """Degrees of freedom of a mean over classes, each known from its own units: (sum 1/n)^2 / sum 1/(n^2 (n - 1)) for n units a class, if all vary alike. Satterthwaite,
    Biometrics Bulletin 2, 1946. A class of one unit counts as of two there; 0 where half of the mean hangs on one or two units.
    """
    unit = unit_of_record(len(labels), groups)
    counts = np.unique(np.unique(np.stack([labels, unit]), axis=1)[0], return_counts=True)[1].astype(float)
    if len(counts) == 2 and counts.min() < _FEWEST_OF_TWO:
        return 0.0
    return float((1 / counts).sum() ** 2 / (1 / (counts**2 * np.maximum(counts - 1, 1))).sum())


def effective_units(record_count: int, groups: np.ndarray | None) -> float:
    """How many units of one size tell as much of a mean over records: fewer than there are where some hold most records. Kish, Survey Sampling,
    1965."""
    sizes = np.bincount(unit_of_record(record_count, groups))
    return float(record_count**2 / (sizes**2).sum())


def sampling_units(record_count: int, groups: np.ndarray | None) -> int:
    """How many records, or groups, a resample draws."""
    return int(unit_of_record(record_count, groups).max()) + 1


def unit_of_record(record_count: int, groups: np.ndarray | None) -> np.ndarray:
    """The number of the unit that each record is drawn with, from 0, int [records]."""
    if groups is None:
        return np.arange(record_count)
    names, units = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    alone = names[units] == ""
    units[alone] = len(names) + np.arange(alone.sum())
    return np.unique(units, return_inverse=True)[1]


def resampled_weights(record_count: int, groups: np.ndarray | None, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each record is drawn, float64 [resamples, records], some resamples at a time."""
    unit = unit_of_record(record_count, groups)
    units = int(unit.max()) + 1
    random = np.random.default_rng(seed)
    step = max(1, _WEIGHTS_AT_ONCE // record_count)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = random.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        yield weights[:, unit].astype(np.float64)


def interval(values: np.ndarray, units: int, confidence: float, *, freedom: float | None = None) -> list[float] | None:
    """`[low, high]`, the expanded percentiles of what resamples of so many units gave; None where these are too few, or no resample has a value.

    Args:
        freedom: degrees of freedom, if not one less than the units.
    """
    values = values[np.isfinite(values)]
    freedom = units - 1 if freedom is None else freedom
    if units < fewest_units(confidence) or freedom <= 0 or not len(values):
        return None
    tail = ndtr(np.sqrt(1 + 1 / freedom) * stdtrit(freedom, (1 - confidence) / 2))
    return [float(value) for value in np.quantile(values, [tail, 1 - tail])]
