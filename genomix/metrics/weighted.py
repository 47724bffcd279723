"""The headline figures of weighted records, for many sets of weights at once.

`figures.headline` is the form to read; where all weights are 1 the two agree. Here everything is sums over records, so that a thousand resamples of
thousands of records take a second.
"""

import numpy as np
from scipy import sparse

from genomix.metrics.figures import CALIBRATION_BINS, calibration_bins, require_records, scored_classes, surprises

_MOST_PAIRS = 1 << 21
"""A positive and any record: up to so many pairs of a class one product of matrices beats sums over sorted records, and the pairs take 16 MB."""

_EXACT_RANKS = 1 << 16
"""Above so many records those of nearly the same rank count as tied, see `_levels`."""
_FINEST = 1 << 12
_MOST_LEVELS_KEPT = 1 << 25
"""Of all classes; above it they are found again for every batch of weights."""


class Judged:
    """The answers to the records of a split, made ready to be weighted many times.

    Args:
        labels, probabilities: see `figures.headline`.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        require_records(labels, probabilities)
        self._labels, self._probabilities = labels, probabilities
        self._surprises = surprises(labels, probabilities)
        self._indices = scored_classes(labels, probabilities.shape[1])
        self._levels: dict[int, sparse.csr_matrix] = {}

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The headline figures of weighted records, each float64 [resamples]; NaN where one has no value.

        Args:
            weights: float64 [resamples, records], each row with a positive sum.
        """
        total = weights.sum(axis=1)
        return {
            **figures_of_decisions(self._labels, self._probabilities, weights),
            **self._figures_of_ranks(weights),
            "log_loss": weights @ self._surprises / total,
            "ece": _calibration_errors(self._labels, self._probabilities, weights) / total,
        }

    def _figures_of_ranks(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        areas, precisions = np.empty((2, len(self._indices), len(weights)))
        by_record = np.ascontiguousarray(weights.T)
        for row, index in enumerate(self._indices):
            positive = self._labels == index
            if np.count_nonzero(positive) * len(positive) <= _MOST_PAIRS:
                areas[row], precisions[row] = _ranked_by_pairs(positive, self._probabilities[:, index], weights)
            else:
                areas[row], precisions[row] = _ranked(positive, self._levels_of(index), by_record)
        return {"roc_auc": _mean_of_defined(areas), "average_precision": _mean_of_defined(precisions)}

    def _levels_of(self, index: int) -> sparse.csr_matrix:
        if index in self._levels:
            return self._levels[index]
        levels = _levels(self._probabilities[:, index])
        if len(self._labels) * (len(self._levels) + 1) <= _MOST_LEVELS_KEPT:
            self._levels[index] = levels
        return levels


def figures_of_decisions(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Those of `Judged.figures` that need no more than the predicted classes, some ten times as fast."""
    class_count = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    support = _sums(weights, labels, class_count)
    chosen = _sums(weights, predicted, class_count)
    hits = _sums(weights * (labels == predicted), labels, class_count)
    total = support.sum(axis=1)
    present = support > 0
    recall = np.divide(hits, support, out=np.zeros_like(hits), where=present)
    f1 = np.divide(2 * hits, support + chosen, out=np.zeros_like(hits), where=present)
    return {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": recall.sum(axis=1) / present.sum(axis=1),
        "macro_f1": f1.sum(axis=1) / present.sum(axis=1),
        "mcc": _matthews(hits.sum(axis=1), total, support, chosen),
    }


def _matthews(hits: np.ndarray, total: np.ndarray, support: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The multiclass correlation, 0 where one class holds all predictions, NaN where it holds all labels. Gorodkin, Comput. Biol. Chem. 28, 2004, equation 8."""
    covariance = hits * total - (support * chosen).sum(axis=1)
    of_labels, of_predictions = (total**2 - (counts**2).sum(axis=1) for counts in (support, chosen))
    spread = of_labels * of_predictions
    correlation = np.divide(covariance, np.sqrt(spread), out=np.zeros_like(covariance), where=spread > 0)
    return np.where(of_labels > 0, correlation, np.nan)


def _levels(scores: np.ndarray) -> sparse.csr_matrix:
    """Which records have each rank, the highest score first and equal ones together: 1 or 0 [ranks, records].

    Above `_EXACT_RANKS` records, ranks from the 4,096th on that differ by less than one part in 4,096 are one too: each of many resamples then sums over
    tens of thousands of levels in place of millions. Among records of nearly one rank the order of positives and negatives is as good as random, for which
    a tie stands, so that figures change by less than 1e-4.
    """
    order = np.argsort(-scores, kind="stable").astype(np.int32)
    begins = np.diff(-scores[order], prepend=-np.inf) != 0
    ranks = np.maximum.accumulate(np.where(begins, np.arange(len(scores)), 0))  # of the first of equal scores
    if len(scores) > _EXACT_RANKS:
        coarse = _FINEST + np.floor(_FINEST * np.log(np.maximum(ranks, _FINEST) / _FINEST)).astype(np.int64)
        ranks = np.where(ranks < _FINEST, ranks, coarse)
    starts = np.flatnonzero(np.diff(ranks, prepend=-1)).astype(np.int32)
    return sparse.csr_matrix(
        (np.ones(len(order), np.int8), order, np.append(starts, np.int32(len(order)))), shape=(len(starts), len(order))
    )


def _ranked(positive: np.ndarray, levels: sparse.csr_matrix, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC AUC and average precision of one class, each float64 [resamples], NaN where a resample lacks positives or negatives.

    AUC is the chance that a positive has the higher score, ties counting half. Average precision is the mean over positives of the precision at
    their score.

    Args:
        levels: see `_levels`.
        weights: float64 [records, resamples].
    """
    of_positives = sparse.csr_matrix(
        (positive[levels.indices].astype(np.int8), levels.indices, levels.indptr), shape=levels.shape, copy=True
    )
    of_positives.eliminate_zeros()
    everyone, positives = (levels @ weights).T, (of_positives @ weights).T
    negatives = everyone - positives
    reached, passed = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    positive_total, negative_total = reached[:, -1], passed[:, -1]
    pairs = (positives * (negative_total[:, None] - passed + negatives / 2)).sum(axis=1)
    at_or_above = reached + passed
    precision = np.divide(reached, at_or_above, out=np.zeros_like(reached), where=at_or_above > 0)
    defined = (positive_total > 0) & (negative_total > 0)
    area = np.divide(pairs, positive_total * negative_total, out=np.full(weights.shape[1], np.nan), where=defined)
    average = np.divide((positives * precision).sum(axis=1), positive_total, out=np.full(weights.shape[1], np.nan), where=defined)
    return area, average


def _ranked_by_pairs(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `_ranked` gives, from every pair of a positive and another record: with hundreds of classes each has few positives."""
    own, others = weights[:, positive], weights[:, ~positive]
    reaching = scores >= scores[positive, None]
    positives = own @ reaching[:, positive].T.astype(np.float64)
    negatives = others @ reaching[:, ~positive].T.astype(np.float64)
    tied = others @ (scores[~positive] == scores[positive, None]).T.astype(np.float64)
    positive_total, negative_total = own.sum(axis=1), others.sum(axis=1)
    pairs = (own * (negative_total[:, None] - negatives + tied / 2)).sum(axis=1)
    at_or_above = positives + negatives
    precision = np.divide(positives, at_or_above, out=np.zeros_like(positives), where=at_or_above > 0)
    defined = (positive_total > 0) & (negative_total > 0)
    area = np.divide(pairs, positive_total * negative_total, out=np.full(len(weights), np.nan), where=defined)
    average = np.divide((own * precision).sum(axis=1), positive_total, out=np.full(len(weights), np.nan), where=defined)
    return area, average


def _calibration_errors(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sum over bins of |right records less their probabilities|, float64 [resamples]."""
    top = probabilities.max(axis=1)
    excess = (probabilities.argmax(axis=1) == labels) - top
    return np.abs(_sums(weights * excess, calibration_bins(top), CALIBRATION_BINS)).sum(axis=1)


def _sums(weights: np.ndarray, kinds: np.ndarray, count: int) -> np.ndarray:
    """Weights added up by kind: [resamples, records] -> [resamples, count]."""
    records = np.arange(len(kinds))
    indicator = sparse.csr_matrix((np.ones(len(kinds)), (kinds, records)), shape=(count, len(kinds)))
    return (indicator @ weights.T).T


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """The mean over classes [classes, resamples] of the values that are not NaN; NaN where there is none."""
    defined = np.isfinite(values)
    counts = defined.sum(axis=0)
    return np.divide(np.where(defined, values, 0.0).sum(axis=0), counts, out=np.full(values.shape[1], np.nan), where=counts > 0)
