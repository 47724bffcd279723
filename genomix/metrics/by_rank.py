"""Figures of each rank of labels that are paths in a tree (`genomix.ranks`): the leaves' probabilities summed below each node."""

from typing import Any

import numpy as np

from genomix.ranks import Ranks, ranks_of


def figures_by_rank(
    labels: np.ndarray,
    classes: tuple[str, ...],
    probabilities: np.ndarray,
    baselines: dict[str, np.ndarray],
    *,
    composition: np.ndarray | None = None,
) -> list[dict[str, Any]] | None:
    """A row a rank, the first one first: `rank nodes accuracy macro_f1 baselines composition`; None where the classes are plain names.

    `macro_f1` averages over the nodes that have records. `baselines` holds the same two figures of each, `composition` those of that
    branch, or None. The last row is that of the classes themselves.

    Args:
        labels: int [record].
        probabilities: of the network, float64 [record, class]; `baselines` alike, by name, and `composition`.
    """
    ranks = ranks_of(classes)
    if ranks is None:
        return None
    return [
        {
            "rank": rank,
            "nodes": len(ranks.nodes[rank - 1]),
            **_figures(labels, probabilities, ranks, rank),
            "baselines": {name: _figures(labels, each, ranks, rank) for name, each in baselines.items()},
            "composition": None if composition is None else _figures(labels, composition, ranks, rank),
        }
        for rank in range(1, len(ranks) + 1)
    ]


def best_baseline(row: dict[str, Any]) -> tuple[str, float] | None:
    """The name and macro-F1 of the baseline that is best at a rank."""
    scores = {name: figures["macro_f1"] for name, figures in row["baselines"].items()}
    name = max(scores, key=scores.__getitem__, default=None)
    return None if name is None else (name, scores[name])


def _figures(labels: np.ndarray, probabilities: np.ndarray, ranks: Ranks, rank: int) -> dict[str, float]:
    from sklearn import metrics as scikit  # a second that prediction does not need

    true, called = ranks.labels(labels, rank), ranks.sums(probabilities, rank).argmax(axis=1)
    return {
        "accuracy": float(scikit.accuracy_score(true, called)),
        "macro_f1": float(scikit.f1_score(true, called, labels=np.unique(true), average="macro", zero_division=0)),
    }
