"""Accuracy by how alike a record is to its nearest training record: what a network knows of records that it has not nearly seen.

The similarity is an estimate of identity (0 to 1) from sketches of 16-mers, which tell little below 0.8: a hundred hashes share three then, and unrelated
genomes share one by chance. So the first bin holds all below.
"""

from typing import Any

import numpy as np
from scipy.special import ndtri

from genomix.metrics.bootstrap import CONFIDENCE, effective_units

BINS = (0.0, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Bounds; a bin holds its lower one, the last one both."""

_NAMED = 10
"""Near-duplicates that the result names; the file has all."""


def accuracy_by_similarity(
    labels: np.ndarray,
    probabilities: np.ndarray,
    similarity: np.ndarray,
    *,
    threshold: float,
    pairs: list[tuple[str, str]],
    groups: np.ndarray | None = None,
    confidence: float = CONFIDENCE,
) -> dict[str, Any]:
    """What `metrics.json` says under `by_similarity`, ready for JSON.

    Args:
        labels: int [record].
        probabilities: float64 [record, class].
        similarity: float64 [record], to the nearest training record; NaN where it is not known.
        threshold: from which similarity on a record is a near-duplicate of a training record.
        pairs: of each record its name and that of its nearest training record, empty where there is none.
        groups: a name a record; records of one name are not independent, so an interval is as wide as if each name were one record.

    Returns:
        `bins`: rows of `low high records correct accuracy interval`; the two are None for an empty bin. `near`, `far`: the same for the records at or above,
        and below the threshold. `uncompared`: records of unknown similarity. `near_duplicates`: `id nearest similarity correct` of the most similar.
    """
    right = probabilities.argmax(axis=1) == labels
    known = np.isfinite(similarity)
    places = np.clip(np.searchsorted(BINS, similarity, side="right") - 1, 0, len(BINS) - 2)
    rows = [
        {"low": BINS[place], "high": BINS[place + 1], **_figures(right, known & (places == place), groups, confidence)}
        for place in range(len(BINS) - 1)
    ]
    near = known & (similarity >= threshold)
    worst = np.flatnonzero(near)[np.argsort(-similarity[near], kind="stable")]
    return {
        "bins": rows,
        "threshold": threshold,
        "confidence": confidence,
        "near": _figures(right, near, groups, confidence),
        "far": _figures(right, known & ~near, groups, confidence),
        "uncompared": int((~known).sum()),
        "near_duplicates": [
            {"id": pairs[place][0], "nearest": pairs[place][1], "similarity": float(similarity[place]), "correct": bool(right[place])}
            for place in worst[:_NAMED].tolist()
        ],
    }


def similarity_lines(found: dict[str, Any] | None) -> list[str]:
    """What the command prints of it."""
    if found is None:
        return []
    if "unavailable" in found:
        return [f"accuracy by similarity to training: not available, {found['unavailable']}"]
    filled = [row for row in found["bins"] if row["records"]]
    lines = ["accuracy by similarity to the nearest training record: " + "; ".join(f"{bin_title(row)} {_short(row)}" for row in filled)]
    if near := found["near"]["records"]:
        worst = found["near_duplicates"][0]
        rest = f"; {found['far']['accuracy']:.3f} without them" if found["far"]["records"] else "; no other record is left to judge by"
        lines.append(
            f"warning: {near:,} near-duplicate{'s' * (near != 1)} of training records (similarity {found['threshold']:g} or more), the closest "
            f"{worst['id'] or 'one without an id'}, {worst['similarity']:.3f} like {worst['nearest'] or 'one without an id'}: accuracy "
            f"{found['near']['accuracy']:.3f} on them{rest}"
        )
    return lines


def bin_title(row: dict[str, Any]) -> str:
    """A bin in words: `below 0.8`, `0.8 to 0.9`, `0.99 or more`."""
    if row["low"] == BINS[0]:
        return f"below {row['high']:g}"
    return f"{row['low']:g} or more" if row["high"] == BINS[-1] else f"{row['low']:g} to {row['high']:g}"


def wilson_interval(part: float, count: float, confidence: float) -> list[float]:
    """`[low, high]` of a proportion seen in `count` independent trials. Wilson, JASA 22, 1927; does not shrink to a point at 0 or 1."""
    z = float(ndtri((1 + confidence) / 2))
    middle = (part + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(part * (1 - part) / count + z * z / (4 * count * count))
    return [max(0.0, float(middle - half)), min(1.0, float(middle + half))]


def _figures(right: np.ndarray, chosen: np.ndarray, groups: np.ndarray | None, confidence: float) -> dict[str, Any]:
    count, correct = int(chosen.sum()), int(right[chosen].sum())
    if not count:
        return {"records": 0, "correct": 0, "accuracy": None, "interval": None}
    units = effective_units(count, None if groups is None else groups[chosen])
    accuracy = correct / count
    return {"records": count, "correct": correct, "accuracy": accuracy, "interval": wilson_interval(accuracy, units, confidence)}


def _short(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.3f} (n {row['records']:,})"
