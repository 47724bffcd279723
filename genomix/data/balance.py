"""Classes of unequal size: how much a record of each counts, and how often it is drawn.

Both ways of balancing come from one factor a class: `weights` multiplies a record's loss by it, `sampling` draws the record that many times an epoch on
average. A class that is very much smaller than the largest is balanced only up to a limit: a record that counts a thousand times as much as another makes
rare, huge updates when weighted, and is learned by heart when sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Draws:
    """What an epoch is made of, an entry a draw.

    Attributes:
        places: int64, which training record, in ascending order.
        repeats: int64, how often the epoch has drawn that record before: 0, 1, ...
    """

    places: np.ndarray
    repeats: np.ndarray


def sampled(labels: np.ndarray, most: int, rng: np.random.Generator, *, sure: int) -> np.ndarray:
    """int64, rising: at most so many places of `labels` at random; of each class `sure` of them, or all that it has, as far as there is room for those of all."""
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    return np.sort(order[np.argsort(np.minimum(rank[order], sure), kind="stable")][:most])


def class_factors(labels: np.ndarray, classes: int, limit: float) -> np.ndarray:
    """How much a record of each class counts, float64 [class], with mean 1 over the records; 0 for a class without records.

    Inversely proportional to the class's records, so that all classes count alike; but a class with fewer than 1/`limit` of the largest one's records is
    taken to have that many.

    Args:
        labels: int [record], at least one.
        limit: largest ratio of two classes' factors, at least 1.
    """
    counts = np.bincount(labels, minlength=classes)
    taken = np.maximum(counts, counts.max() / limit)
    return np.where(counts > 0, len(labels) / (taken * (counts / taken).sum()), 0.0)


def class_weights(labels: np.ndarray, classes: int, balance: str, limit: float) -> np.ndarray:
    """How much a record of each class counts under `train.balance`, float64 [class]: its factor, whether as weight or by being drawn more often, or 1."""
    return np.ones(classes) if balance == "none" else class_factors(labels, classes, limit)


def class_balance(labels: np.ndarray, weights: np.ndarray) -> tuple[float, ...]:
    """The class balance that training sees, sum 1: each class's records times their weight."""
    seen = np.bincount(labels, minlength=len(weights)) * weights
    return tuple((seen / seen.sum()).tolist())


def weights_for(balance: Sequence[float], labels: np.ndarray) -> np.ndarray:
    """What each record must count for the classes to be in this balance, float64 [record].

    Args:
        balance: part of each class.
        labels: int [record].
    """
    return np.asarray(balance)[labels] / np.bincount(labels, minlength=len(balance))[labels]


def draw_all(records: int) -> Draws:
    """Every record once."""
    return Draws(np.arange(records), np.zeros(records, dtype=np.int64))


def draw_balanced(labels: np.ndarray, factors: np.ndarray, *, seed: int, epoch: int) -> Draws:
    """About as many draws as records, a record `factors[its class]` times on average.

    Systematic sampling (Madow, Ann. Math. Stat. 20, 1949), class after class in random order: a record is drawn its factor rounded down or up, and a
    class as often as all its factors add up to, within one. A function of its arguments.

    Args:
        labels: int [record].
        factors: float64 [class], as `class_factors` gives them.
    """
    rng = np.random.default_rng((seed, epoch, 1))
    shuffled = rng.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    ends = np.floor(np.cumsum(factors[labels[order]]) + rng.random())
    counts = np.empty(len(labels), dtype=np.int64)
    counts[order] = np.diff(ends, prepend=0.0)
    places = np.repeat(np.arange(len(labels)), counts)
    return Draws(places, np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts))
