"""Intervals by the bootstrap: how far the figures of a split could lie from those of other records of the same kind.

A resample draws as many records as there are, with replacement, so it is a weight a record: how often it was drawn (`weighted.Judged`).

Records that are related (one genus, one gene) are not independent. With `groups`, whole groups are drawn instead, which widens the intervals to what
a new group would see. Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 (percentile intervals) and 8.

Percentile intervals of few units are too narrow, so they are expanded as Student's t is beside the normal distribution (Hesterberg, The American
Statistician 69, 2015). Below `fewest_units` there is none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
from scipy.special import ndtr, stdtrit

from genomix.metrics.figures import FIGURES, FIGURES_OF_DECISIONS, headline
from genomix.metrics.weighted import Judged, figures_of_decisions

RESAMPLES = 1000
CONFIDENCE = 0.95

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

    A figure that has no value, and every figure where there are fewer than `fewest_units` records (or groups) to draw from, gets None. A resample in which a
    figure has no value (one class drawn) is left out of that figure's interval.

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
    `high` also where there are fewer than `fewest_units` records (or groups) to draw from.

    Raises:
        DataError: no records.
    """
    answers = [probabilities, reference]
    ours, theirs = resampled_figures(
        labels, answers, groups=groups, resamples=resamples, seed=seed, decisions=metric in FIGURES_OF_DECISIONS
    )
    points = [headline(labels, each) for each in answers]
    return gain_of(metric, (points[0], ours), (points[1], theirs), confidence)


@dataclass(frozen=True, slots=True)
class Draws:
    """What a classifier reaches on each resample.

    Attributes:
        figures: name -> float64 [resamples], NaN where it has no value.
        units: records or groups that a resample draws.
    """

    figures: dict[str, np.ndarray]
    units: int


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
    units = sampling_units(len(labels), groups)
    return [Draws({name: np.concatenate([draw[name] for draw in draws]) for name in draws[0]}, units) for draws in zip(*found, strict=True)]


def _figures_of(labels: np.ndarray, probabilities: np.ndarray, *, decisions: bool) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    if decisions:
        return lambda weights: figures_of_decisions(labels, probabilities, weights)
    return Judged(labels, probabilities).figures


def intervals_of(points: dict, draws: Draws, confidence: float) -> dict[str, list[float] | None]:
    """What `bootstrap_intervals` gives, from the headline figures and their draws."""
    return {name: None if points[name] is None else interval(draws.figures[name], draws.units, confidence) for name in FIGURES}


def gain_of(metric: str, ours: tuple[dict, Draws], theirs: tuple[dict, Draws], confidence: float) -> dict[str, Any]:
    """What `paired_gain` gives, from the headline figures of two classifiers and their draws."""
    gain = {"metric": metric, "difference": None, "low": None, "high": None, "confidence": confidence}
    if ours[0][metric] is None or theirs[0][metric] is None:
        return gain
    gain["difference"] = ours[0][metric] - theirs[0][metric]
    differences = ours[1].figures[metric] - theirs[1].figures[metric]
    gain["low"], gain["high"] = interval(differences, ours[1].units, confidence) or (None, None)
    return gain


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


def interval(values: np.ndarray, units: int, confidence: float) -> list[float] | None:
    """`[low, high]`, the expanded percentiles of what resamples of so many units gave; None where these are too few, or no resample has a value."""
    values = values[np.isfinite(values)]
    if units < fewest_units(confidence) or not len(values):
        return None
    tail = ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, (1 - confidence) / 2))
    return [float(value) for value in np.quantile(values, [tail, 1 - tail])]
