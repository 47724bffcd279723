"""Intervals by the bootstrap: how far the figures of a split could lie from those of other records of the same kind.

A resample draws as many records as there are, with replacement, so it is a weight a record: how often it was drawn (`weighted.weighted_figures`).

Records that are related (one genus, one gene) are not independent. With `groups`, whole groups are drawn instead, which widens the intervals to what
a new group would see. Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 (percentile intervals) and 8.
"""

from collections.abc import Iterator

import numpy as np

from genomix.metrics.figures import FIGURES, headline
from genomix.metrics.weighted import weighted_figures

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

    A figure that has no value, and every figure where there are fewer than two records (or groups) to draw from, gets None. A resample in which a
    figure has no value (one class drawn) is left out of that figure's interval.

    Raises:
        DataError: no records.
    """
    draws = resampled_figures(labels, probabilities, groups=groups, resamples=resamples, seed=seed)
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
    `high` also where there are fewer than two records (or groups) to draw from.

    Raises:
        DataError: no records.
    """
    points = [headline(labels, each) for each in (probabilities, reference)]
    draws = [resampled_figures(labels, each, groups=groups, resamples=resamples, seed=seed) for each in (probabilities, reference)]
    return gain_of(metric, (points[0], draws[0]), (points[1], draws[1]), confidence)


Draws = dict[str, np.ndarray]
"""Every headline figure on each resample, float64 [resamples], NaN where it has no value; empty where there is only one unit to draw."""


def resampled_figures(
    labels: np.ndarray, probabilities: np.ndarray, *, groups: np.ndarray | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Draws:
    """The figures of each resample. The same labels, groups and seed give the same resamples, so the draws of two classifiers are paired."""
    if sampling_units(len(labels), groups) < 2:
        return {}
    draws = [weighted_figures(labels, probabilities, weights) for weights in resampled_weights(len(labels), groups, resamples, seed)]
    return {name: np.concatenate([draw[name] for draw in draws]) for name in FIGURES}


def intervals_of(points: dict, draws: Draws, confidence: float) -> dict[str, list[float] | None]:
    """What `bootstrap_intervals` gives, from the headline figures and their draws."""
    return {name: _percentiles(draws[name], confidence) if draws and points[name] is not None else None for name in FIGURES}


def gain_of(metric: str, ours: tuple[dict, Draws], theirs: tuple[dict, Draws], confidence: float) -> dict:
    """What `paired_gain` gives, from the headline figures of two classifiers and their draws."""
    gain = {"metric": metric, "difference": None, "low": None, "high": None, "confidence": confidence}
    if ours[0][metric] is None or theirs[0][metric] is None:
        return gain
    gain["difference"] = ours[0][metric] - theirs[0][metric]
    if ours[1]:
        gain["low"], gain["high"] = _percentiles(ours[1][metric] - theirs[1][metric], confidence) or (None, None)
    return gain


def sampling_units(record_count: int, groups: np.ndarray | None) -> int:
    """How many records, or groups, a resample draws."""
    return int(_unit_of_record(record_count, groups).max()) + 1


def _unit_of_record(record_count: int, groups: np.ndarray | None) -> np.ndarray:
    """The number of the unit that each record is drawn with, from 0, int [records]."""
    if groups is None:
        return np.arange(record_count)
    names, units = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    alone = names[units] == ""
    units[alone] = len(names) + np.arange(alone.sum())
    return np.unique(units, return_inverse=True)[1]


def resampled_weights(record_count: int, groups: np.ndarray | None, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each record is drawn, float64 [resamples, records], some resamples at a time."""
    unit_of_record = _unit_of_record(record_count, groups)
    units = int(unit_of_record.max()) + 1
    random = np.random.default_rng(seed)
    step = max(1, _WEIGHTS_AT_ONCE // record_count)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = random.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        yield weights[:, unit_of_record].astype(np.float64)


def _percentiles(values: np.ndarray, confidence: float) -> list[float] | None:
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    tail = (1 - confidence) / 2
    return [float(value) for value in np.quantile(values, [tail, 1 - tail])]
