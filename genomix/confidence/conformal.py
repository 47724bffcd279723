"""Sets of labels that miss the true one at most as often as asked for: split-conformal prediction, a threshold for each class.

A class is in a record's set when the record's probability of it is not among the lowest such probabilities that the class's own validation records had.
Vovk, Conditional validity of inductive conformal predictors, ACML 2012 (label-conditional, or Mondrian); the score is that of Sadinle, Lei, Wasserman,
Least ambiguous set-valued classifiers with bounded error levels, JASA 2019.

With n validation records of a class, k = floor(error (n + 1)) and the k-th lowest of their probabilities as threshold, a new record of that class is below
it with probability k / (n + 1) <= error, if it is exchangeable with them. So n must be at least 1 / error - 1. Classes with fewer are judged
together, by one threshold: the promise then holds for them together.
"""

from collections.abc import Sequence

import numpy as np

from genomix.data.label_text import listed
from genomix.errors import UsageError
from genomix.metrics.promise import lowest_error

MOST_SCORES = 10_000
"""Scores kept of a class: more would not move a threshold that anyone could notice."""

_MOST_NAMED = 5
"""Classes in a sentence."""
_ROUNDING = 1e-9


def class_scores(labels: np.ndarray, probabilities: np.ndarray, *, seed: int = 0) -> tuple[tuple[float, ...], ...]:
    """For each class the probabilities that its own records have of it, from the lowest; of very many a random sample.

    Args:
        labels: int [record].
        probabilities: float64 [record, class].
    """
    rng = np.random.default_rng(seed)
    kept = []
    for label in range(probabilities.shape[1]):
        scores = probabilities[labels == label, label]
        if len(scores) > MOST_SCORES:
            scores = rng.choice(scores, MOST_SCORES, replace=False)
        kept.append(tuple(np.sort(scores).tolist()))
    return tuple(kept)


def fewest_records(error: float) -> int:
    """Validation records without which no threshold keeps this error."""
    return int(np.ceil(1 / error - 1 - _ROUNDING))


def judged_together(counts: np.ndarray, error: float) -> np.ndarray:
    """The classes that share one threshold because each has too few records, int; empty where all have enough.

    Where all those together have too few as well, the smallest of the others join them.

    Args:
        counts: int [class], validation records.

    Raises:
        UsageError: all classes together have too few.
    """
    needed, total = fewest_records(error), int(counts.sum())
    if total < needed:
        raise UsageError(
            f"an error of {error:g} needs {needed} validation records at least, and the model was calibrated on {total}",
            hint=f"--error {lowest_error(total):g} is the lowest that can be promised; more validation records lower it",
        )
    order = np.argsort(counts, kind="stable")
    scarce = int((counts < needed).sum())
    if scarce == 0:
        return order[:0]
    enough = int(np.searchsorted(np.cumsum(counts[order]), needed)) + 1
    return np.sort(order[: max(scarce, enough)])


def too_few_alone(classes: Sequence[str], scores: tuple[tuple[float, ...], ...], error: float) -> str | None:
    """For whom the promise does not hold class by class, as a sentence; None where it does.

    Args:
        classes: names.
        scores: as `class_scores` gives them.

    Raises:
        UsageError: there are too few scores for that error.
    """
    counts = np.array([len(each) for each in scores])
    together = judged_together(counts, error)
    if not len(together):
        return None
    named = listed(
        [f"{classes[label]!r} ({counts[label]})" for label in together[np.argsort(counts[together], kind="stable")]], most=_MOST_NAMED
    )
    return (
        f"--error {error:g} holds for each class that has {fewest_records(error):,} validation records; for {named} it holds at most for all of them together, "
        "and single ones may be missed far more often"
    )


def label_thresholds(scores: tuple[tuple[float, ...], ...], error: float) -> np.ndarray:
    """The lowest probability of each class with which it is in a record's set, float64 [class].

    Args:
        scores: as `class_scores` gives them.
        error: the promised rate of sets without the true label, above 0 and below 1.

    Raises:
        UsageError: there are too few scores for that error.
    """
    together = judged_together(np.array([len(each) for each in scores]), error)
    shared = np.sort(np.concatenate([scores[label] for label in together])) if len(together) else None
    alone = set(range(len(scores))) - set(together.tolist())
    return np.array([_threshold(np.array(scores[label]) if label in alone else shared, error) for label in range(len(scores))])


def _threshold(ascending: np.ndarray | None, error: float) -> float:
    assert ascending is not None, "a class without a threshold of its own shares one"
    rank = int(np.floor(error * (len(ascending) + 1) + _ROUNDING))
    return float(ascending[rank - 1])
