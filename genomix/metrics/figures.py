"""The figures of one split, from scikit-learn where it has them.

Everywhere: `labels` int [records], the class index of each record; `probabilities` float64 [records, classes], rows sum to 1. The predicted class is the
most probable one, the first of several equal ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from genomix.errors import DataError

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "roc_auc", "average_precision", "log_loss", "ece")
"""Names of the headline figures. Higher is better except for `log_loss` and `ece`."""

FIGURES_OF_DECISIONS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc")
"""Those that need no more than the predicted classes."""

FIGURES_OVER_CLASSES = ("balanced_accuracy", "macro_f1", "mcc", "roc_auc", "average_precision")
"""Those in which a rare class counts as much as a common one, or nearly."""

SMALLEST_PROBABILITY = 1e-15
"""Probabilities are raised to this before their logarithm: a class that a model rules out costs 34.5, not infinity."""

CALIBRATION_BINS = 15

Score = Callable[..., Any]
"""scikit-learn's: whether each record is positive, and its score -> a number; of several columns, with `average=None`, a number each."""


def headline(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """The headline figures (`FIGURES`), float or None, and the number of `records`.

    - `balanced_accuracy` and `macro_f1` average over the classes that occur in `labels`. A record predicted as a class that doesn't occur still
      counts as an error of its own class.
    - `mcc` is None where all records are of one class, and 0 where all are predicted as one.
    - `roc_auc` and `average_precision` come from probabilities. Two classes: those of class 1 (average precision depends on that choice).
      More: the mean, one class against the rest, over the classes that have both positives and negatives. None where no class has.
    - `log_loss` is in nats; see `SMALLEST_PROBABILITY`.
    - `ece` is the expected calibration error, see `reliability`.

    Raises:
        DataError: no records.
    """
    from sklearn import metrics as scikit  # a second that prediction does not need

    require_records(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    ranked = scored_classes(labels, probabilities.shape[1])
    return {
        "accuracy": float(scikit.accuracy_score(labels, predicted)),
        # balanced_accuracy_score is the same number, but warns when a class is predicted that has no record.
        "balanced_accuracy": float(scikit.recall_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "macro_f1": macro_f1(labels, probabilities),
        "mcc": float(scikit.matthews_corrcoef(labels, predicted)) if len(present) > 1 else None,
        "roc_auc": _mean_score(scikit.roc_auc_score, labels, probabilities, ranked),
        "average_precision": _mean_score(scikit.average_precision_score, labels, probabilities, ranked),
        "log_loss": log_loss(labels, probabilities),
        "ece": _calibration_error(reliability(labels, probabilities)),
        "records": len(labels),
    }


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The headline figure alone, for choices between many models."""
    from sklearn import metrics as scikit

    return float(scikit.f1_score(labels, probabilities.argmax(axis=1), labels=np.unique(labels), average="macro", zero_division=0))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The headline figure alone, for choices between many models."""
    return float(surprises(labels, probabilities).mean())


def per_class(labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> list[dict]:
    """One row a class: `class precision recall f1 roc_auc support predicted`.

    `support` and `predicted` count the records of the class and those predicted as it. Precision without a prediction, recall without a record
    and the AUC of a class without positives or negatives are None.
    """
    from sklearn.metrics import roc_auc_score

    require_records(labels, probabilities)
    called = probabilities.argmax(axis=1)
    counts = [np.bincount(each, minlength=len(classes)).tolist() for each in (labels[called == labels], labels, called)]
    judged = np.flatnonzero((np.array(counts[1]) > 0) & (np.array(counts[1]) < len(labels))).tolist()
    areas = dict(zip(judged, _scores(roc_auc_score, labels, probabilities, judged), strict=True))
    rows = []
    for index, (name, hits, support, predicted) in enumerate(zip(classes, *counts, strict=True)):
        rows.append(
            {
                "class": name,
                "precision": _ratio(hits, predicted),
                "recall": _ratio(hits, support),
                "f1": _ratio(2 * hits, support + predicted),
                "roc_auc": areas.get(index),
                "support": support,
                "predicted": predicted,
            }
        )
    return rows


def confusion(labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> list[dict]:
    """The confusion matrix, a row for each of its cells that is not 0: `true predicted records`; never more rows than records."""
    require_records(labels, probabilities)
    cells, counts = np.unique(np.stack([labels, probabilities.argmax(axis=1)]), axis=1, return_counts=True)
    return [
        {"true": classes[true], "predicted": classes[predicted], "records": count}
        for true, predicted, count in zip(*cells.tolist(), counts.tolist(), strict=True)
    ]


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[dict]:
    """Records by the probability of their predicted class, in 15 bins of equal width: `low high records probability accuracy`.

    Bin m holds the probabilities in ((m-1)/15, m/15] and gives their mean and the part of its records that is right (None for an empty bin).
    The expected calibration error is the mean over records of |accuracy - probability| of their bin. Guo et al., On Calibration of Modern
    Neural Networks, ICML 2017, equations 2 to 5.
    """
    require_records(labels, probabilities)
    correct = probabilities.argmax(axis=1) == labels
    top = probabilities.max(axis=1)
    bins = calibration_bins(top)
    rows = []
    for index in range(CALIBRATION_BINS):
        inside = bins == index
        count = int(inside.sum())
        rows.append(
            {
                "low": index / CALIBRATION_BINS,
                "high": (index + 1) / CALIBRATION_BINS,
                "records": count,
                "probability": float(top[inside].mean()) if count else None,
                "accuracy": float(correct[inside].mean()) if count else None,
            }
        )
    return rows


def scored_classes(labels: np.ndarray, class_count: int) -> list[int]:
    """The classes whose scores are ranked: class 1 of two, else every class that has both positives and negatives."""
    candidates = [1] if class_count == 2 else range(class_count)
    return [index for index in candidates if 0 < np.count_nonzero(labels == index) < len(labels)]


def surprises(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the probability of each record's class, in nats, float64 [records]."""
    own = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.clip(own, SMALLEST_PROBABILITY, 1.0))


def calibration_bins(top: np.ndarray) -> np.ndarray:
    """The bin of each top probability, int [records]; see `reliability`."""
    return np.clip(np.ceil(top * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)


def require_records(labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Refuse arrays that can't be scored.

    Raises:
        DataError: no records.
        ValueError: shapes that don't fit, labels outside the classes (mistakes of the caller).
    """
    if len(labels) == 0:
        raise DataError("no labelled record to evaluate", hint="the split needs records whose class is known")
    if probabilities.ndim != 2 or len(labels) != len(probabilities):
        raise ValueError(f"{len(labels)} labels against probabilities of shape {probabilities.shape}")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, classes from 0 to {probabilities.shape[1] - 1}")
    if not np.isfinite(probabilities).all():
        raise ValueError(f"the probabilities of record {np.isfinite(probabilities).all(axis=1).argmin()} are not finite")


def _mean_score(score: Score, labels: np.ndarray, probabilities: np.ndarray, indices: list[int]) -> float | None:
    return float(np.mean(_scores(score, labels, probabilities, indices))) if indices else None


def _scores(score: Score, labels: np.ndarray, probabilities: np.ndarray, indices: list[int]) -> list[float]:
    """Of each of these classes against the rest, in one call where there are several: scikit-learn's checks cost more than its sums."""
    if len(indices) < 2:
        return [float(score(labels == index, probabilities[:, index])) for index in indices]
    return [float(value) for value in score(labels[:, None] == np.array(indices), probabilities[:, indices], average=None)]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _calibration_error(rows: list[dict]) -> float:
    filled = [row for row in rows if row["records"]]
    return float(sum(row["records"] * abs(row["accuracy"] - row["probability"]) for row in filled) / sum(row["records"] for row in filled))
