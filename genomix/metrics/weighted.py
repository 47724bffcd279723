"""The headline figures of weighted records, for many sets of weights at once.

`figures.headline` is the form to read; where all weights are 1 the two agree. Here everything is sums over records, so that a thousand resamples of
thousands of records take a second.
"""

import numpy as np
from scipy import sparse

from genomix.metrics.figures import CALIBRATION_BINS, calibration_bins, require_records, scored_classes, surprises

_MOST_PAIRS = 1 << 21
"""A positive and any record: up to so many pairs of a class one product of matrices beats sums over sorted records, and the pairs take 16 MB."""


def weighted_figures(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The headline figures of weighted records, each float64 [resamples]; NaN where one has no value.

    Args:
        weights: float64 [resamples, records], each row with a positive sum.
    """
    require_records(labels, probabilities)
    total = weights.sum(axis=1)
    return {
        **figures_of_decisions(labels, probabilities, weights),
        **_figures_of_ranks(labels, probabilities, weights),
        "log_loss": weights @ surprises(labels, probabilities) / total,
        "ece": _calibration_errors(labels, probabilities, weights) / total,
    }


def figures_of_decisions(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Those of `weighted_figures` that need no more than the predicted classes, some ten times as fast."""
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
    """The multiclass correlation, 0 where one class holds all labels or predictions. Gorodkin, Comput. Biol. Chem. 28, 2004, equation 8."""
    covariance = hits * total - (support * chosen).sum(axis=1)
    spread = (total**2 - (support**2).sum(axis=1)) * (total**2 - (chosen**2).sum(axis=1))
    return np.divide(covariance, np.sqrt(spread), out=np.zeros_like(covariance), where=spread > 0)


def _figures_of_ranks(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    indices = scored_classes(labels, probabilities.shape[1])
    areas, precisions = np.empty((2, len(indices), len(weights)))
    for row, index in enumerate(indices):
        positive = labels == index
        rank = _ranked_by_pairs if np.count_nonzero(positive) * len(labels) <= _MOST_PAIRS else _ranked
        areas[row], precisions[row] = rank(positive, probabilities[:, index], weights)
    return {"roc_auc": _mean_of_defined(areas), "average_precision": _mean_of_defined(precisions)}


def _ranked(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC AUC and average precision of one class, each float64 [resamples], NaN where a resample lacks positives or negatives.

    AUC is the chance that a positive has the higher score, ties counting half. Average precision is the mean over positives of the precision at
    their score.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # one entry a distinct score, from the lowest
    ordered = weights[:, order]
    everyone = np.add.reduceat(ordered, starts, axis=1)
    positives = np.add.reduceat(ordered * positive[order], starts, axis=1)
    negatives = everyone - positives
    positive_total, negative_total = positives.sum(axis=1), negatives.sum(axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    pairs = (positives * (below + negatives / 2)).sum(axis=1)
    reached = positive_total[:, None] - np.cumsum(positives, axis=1) + positives
    at_or_above = reached + negative_total[:, None] - below
    precision = np.divide(reached, at_or_above, out=np.zeros_like(reached), where=at_or_above > 0)
    defined = (positive_total > 0) & (negative_total > 0)
    area = np.divide(pairs, positive_total * negative_total, out=np.full(len(weights), np.nan), where=defined)
    average = np.divide((positives * precision).sum(axis=1), positive_total, out=np.full(len(weights), np.nan), where=defined)
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
