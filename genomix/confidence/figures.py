"""How the promises did on one split: error and coverage of the label sets, and error over coverage for any threshold."""

from typing import Any

import numpy as np

from genomix.confidence.conformal import fewest_records, label_thresholds
from genomix.confidence.stored import Confidence

ERRORS = (0.01, 0.05, 0.1, 0.2)
"""Rates that an evaluation tries."""

_MOST_POINTS = 200


def confidence_figures(confidence: Confidence | None, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """What `metrics.json` says of probabilities as promises: `temperature calibration_records label_sets risk_coverage`.

    Args:
        confidence: of the model; None in one of an earlier genomix.
        labels: int [record].
        probabilities: calibrated, float64 [record, class].
    """
    stored = confidence.scores if confidence else ()
    total = sum(map(len, stored))
    return {
        "temperature": confidence.temperature if confidence else None,
        "calibration_records": confidence.records if confidence else 0,
        "label_sets": [
            {"error": error, **set_figures(labels, probabilities, label_thresholds(stored, error))}
            for error in ERRORS
            if total >= fewest_records(error)
        ],
        "risk_coverage": risk_coverage(labels, probabilities),
    }


def set_figures(labels: np.ndarray, probabilities: np.ndarray, lowest: np.ndarray) -> dict[str, float | None]:
    """The label sets of a split: `observed_error size classified classified_error`.

    The rate of sets without the true label; labels in a set on average; the part of the records whose set is one label, and the part of those that are
    wrong, None where there is none.

    Args:
        lowest: the lowest probability of each class with which it is in the set [class].
    """
    inside = probabilities >= lowest
    missed = ~inside[np.arange(len(labels)), labels]
    single = inside.sum(axis=1) == 1
    return {
        "observed_error": float(missed.mean()),
        "size": float(inside.sum(axis=1).mean()),
        "classified": float(single.mean()),
        "classified_error": float(missed[single].mean()) if single.any() else None,
    }


def risk_coverage(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float]]:
    """What `--threshold` does on this split: `threshold coverage risk`, from the highest threshold, 200 at most.

    Coverage is the part of the records whose best class has at least that probability, risk the part of those that are wrong: El-Yaniv, Wiener, On the
    foundations of noise-free selective classification, JMLR 2010.
    """
    top, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    order = np.argsort(-top, kind="stable")
    last = np.append(np.flatnonzero(np.diff(top[order])), len(order) - 1)  # records of equal probability come in together
    kept = last[np.unique(np.linspace(0, len(last) - 1, _MOST_POINTS).round().astype(int))]
    risks = np.cumsum(wrong[order])[kept] / (kept + 1)
    return [
        {"threshold": float(top[order[place]]), "coverage": float(place + 1) / len(order), "risk": float(risk)}
        for place, risk in zip(kept, risks, strict=True)
    ]
