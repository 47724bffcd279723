"""The network beside the baselines on one split: what `evaluation/metrics.json` holds, and the lines that the command prints of it.

The first thing said is the gain over the best baseline, also when it is negative.
"""

from typing import Any

import numpy as np

from genomix.metrics.bootstrap import (
    CONFIDENCE,
    RESAMPLES,
    Draws,
    differing_units,
    fewest_units,
    gain_of,
    intervals_of,
    resampled_figures,
    sampling_units,
)
from genomix.metrics.by_rank import best_baseline, figures_by_rank
from genomix.metrics.by_similarity import similarity_lines
from genomix.metrics.calibration import error_by_chance
from genomix.metrics.figures import FIGURES, confusion, headline, per_class, reliability

GAIN_METRIC = "macro_f1"

FIGURE_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss (nats)",
    "ece": "calibration error",
}

BASELINE_TITLES = {
    "majority": "majority class",
    "length": "length logistic regression",
    "gc": "GC logistic regression",
    "length_gc": "length and GC logistic regression",
    "kmer4": "k-mer 4 logistic regression",
    "kmer6": "k-mer 6 logistic regression",
    "nearest": "most similar training record",
}

_COMPOSITION = "composition"
"""The branch among the classifiers that are judged together; no baseline has this name."""

_FEWEST_RESAMPLES = 200
_AFFORDABLE_WEIGHTS = 20_000 * RESAMPLES

SHORT_TITLES = {
    "majority": "majority",
    "length": "length",
    "gc": "GC",
    "length_gc": "length+GC",
    "kmer4": "4-mers",
    "kmer6": "6-mers",
    "nearest": "nearest",
}


def compare(
    labels: np.ndarray,
    classes: tuple[str, ...],
    probabilities: np.ndarray,
    baselines: dict[str, np.ndarray],
    *,
    composition: np.ndarray | None = None,
    split: str,
    groups: np.ndarray | None = None,
    seed: int = 0,
    resamples: int | None = None,
    confidence: float = CONFIDENCE,
) -> dict:
    """Everything that `metrics.json` says of one split, ready for JSON.

    Args:
        labels: int [records].
        probabilities: the network's, float64 [records, classes].
        baselines: name -> probabilities of the same shape.
        composition: those of the network's composition branch by itself; None where there is none.
        groups: a name a record: related records are drawn together by the bootstrap, one with an empty name alone.
        resamples: of the bootstrap; by default 1,000, fewer (200 at least) above 20,000 records, to end within minutes.

    Returns:
        The network's headline figures at the top, and `split seed classes intervals bootstrap baselines baseline_intervals gain gains composition per_class
        confusion reliability ece_by_chance ranks`. `gains` holds the network's gain over each baseline, `gain` the one over the best, None without baselines. The best
        baseline is the one with the highest macro-F1 on this very split, so the choice favours the baselines. `composition` holds the headline figures of
        that branch, its `intervals`, and the network's `gain` over it; None without one. `ranks` is None unless labels are paths in a tree (`genomix.ranks`).

    Raises:
        DataError: no records.
    """
    resamples = resamples or _default_resamples(len(labels))
    beside = baselines if composition is None else baselines | {_COMPOSITION: composition}
    ours, *rest = _judged(labels, [probabilities, *beside.values()], groups=groups, resamples=resamples, seed=seed)
    others = dict(zip(beside, rest, strict=True))
    gains = {
        name: gain_of(GAIN_METRIC, ours, other, confidence, differing=differing_units(probabilities, beside[name], groups=groups))
        for name, other in others.items()
    }
    alone = _alone(others.pop(_COMPOSITION, None), gains.pop(_COMPOSITION, None), confidence)
    scores = {name: points for name, (points, _) in others.items()}
    return {
        **ours[0],
        "split": split,
        "seed": seed,
        "classes": list(classes),
        "intervals": intervals_of(*ours, confidence),
        "bootstrap": {"resamples": resamples, "confidence": confidence, **_units(len(labels), groups)},
        "baselines": scores,
        "baseline_intervals": {name: intervals_of(*other, confidence) for name, other in others.items()},
        "gain": _best_gain(gains, scores),
        "gains": gains,
        "composition": alone,
        "per_class": per_class(labels, probabilities, classes),
        "confusion": confusion(labels, probabilities, classes),
        "reliability": reliability(labels, probabilities),
        "ece_by_chance": error_by_chance(probabilities, groups=groups, confidence=confidence, seed=seed),
        "ranks": figures_by_rank(labels, classes, probabilities, baselines, composition=composition),
    }


def _judged(labels: np.ndarray, answers: list[np.ndarray], **resampling: Any) -> list[tuple[dict, Draws]]:
    """The headline figures of several classifiers, and their draws, which are of the same resamples."""
    return list(zip((headline(labels, each) for each in answers), resampled_figures(labels, answers, **resampling), strict=True))


def _alone(judged: tuple[dict, Draws] | None, gain: dict[str, Any] | None, confidence: float) -> dict[str, Any] | None:
    return {**judged[0], "intervals": intervals_of(*judged, confidence), "gain": gain} if judged else None


def summary_lines(metrics: dict) -> list[str]:
    """What the command prints of `compare`'s result: the gain over the best baseline and over composition, then the network and these side by side."""
    count, classes = metrics["records"], len(metrics["classes"])
    tested = sum(row["support"] > 0 for row in metrics["per_class"])
    records = f"{count} record{'s' if count != 1 else ''}"
    of_classes = f"{classes} classes" if tested == classes else f"{tested} of {classes} classes"
    return [
        gain_line(metrics),
        *_composition_lines(metrics),
        f"{metrics['split']} split: {records}, {of_classes}{_interval_note(metrics)}",
        *_table(metrics),
        *_rank_table(metrics),
        *similarity_lines(metrics.get("by_similarity")),
    ]


def gain_line(metrics: dict) -> str:
    """The gain over the best baseline in one line."""
    gain = metrics["gain"]
    if gain is None:
        return "gain over the best baseline: unknown, no baseline was fitted"
    name = gain["baseline"]
    return f"gain over the best baseline ({BASELINE_TITLES.get(name, name)}): {_gain_words(metrics, gain, metrics['baselines'][name])}"


def _composition_lines(metrics: dict) -> list[str]:
    """What the rest of the network adds to its composition branch, in one line; none where there is no such branch."""
    alone = metrics["composition"]
    return [f"gain over the network's composition branch alone: {_gain_words(metrics, alone['gain'], alone)}"] if alone else []


def _gain_words(metrics: dict, gain: dict, other: dict) -> str:
    metric, interval = gain["metric"], "no interval: too few unrelated records"
    if gain["low"] is not None:
        interval = f"{gain['confidence']:.0%} interval {gain['low']:+z.3f} to {gain['high']:+z.3f}"
    return f"{FIGURE_TITLES[metric]} {gain['difference']:+z.3f} ({metrics[metric]:.3f} against {other[metric]:.3f}; {interval})"


def _units(record_count: int, groups: np.ndarray | None) -> dict[str, Any]:
    """What the bootstrap draws, and how many; groups of one record each are records."""
    units = sampling_units(record_count, groups)
    return {"unit": "record" if units == record_count else "group", "units": units}


def _default_resamples(record_count: int) -> int:
    return min(RESAMPLES, max(_FEWEST_RESAMPLES, _AFFORDABLE_WEIGHTS // max(1, record_count)))


def _best_gain(gains: dict[str, dict], scores: dict[str, dict]) -> dict | None:
    if not gains:
        return None
    best = max(scores, key=lambda name: scores[name][GAIN_METRIC])
    return {"baseline": best, "chosen_by": f"highest {GAIN_METRIC} on this split", **gains[best]}


def _interval_note(metrics: dict) -> str:
    bootstrap = metrics["bootstrap"]
    unit = f"{bootstrap['units']} {bootstrap['unit']}s"
    if bootstrap.get("divided"):
        unit = f"{bootstrap['units']} records or clusters of {bootstrap['families']} families"
    return (
        f"; [{bootstrap['confidence']:.0%} bootstrap intervals over {unit}]"
        if bootstrap["units"] >= fewest_units(bootstrap["confidence"])
        else ""
    )


def _table(metrics: dict) -> list[str]:
    others = {"composition": metrics["composition"]} if metrics["composition"] else {}
    others |= {SHORT_TITLES.get(name, name): each for name, each in metrics["baselines"].items()}
    header = ["", "network", "", *others]
    rows = [header]
    for name in FIGURES:
        interval = metrics["intervals"][name]
        between = f"[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        if name == "ece":
            between = f"chance: {metrics['ece_by_chance']['mean']:.3f}"
        rows.append([FIGURE_TITLES[name], _number(metrics[name]), between, *(_number(each[name]) for each in others.values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return [_aligned(row, widths) for row in rows]


def _rank_table(metrics: dict) -> list[str]:
    """The figures of each rank of a tree of labels; nothing where labels are plain names."""
    if not metrics["ranks"]:
        return []
    beside = ["composition's"] if metrics["composition"] else []
    rows = [["by rank", "nodes", "accuracy", "macro-F1", *beside, "best baseline's"]]
    for row in metrics["ranks"]:
        best = best_baseline(row)
        alone = [_number(row["composition"]["macro_f1"])] if row["composition"] else []
        other = f"{best[1]:.3f} ({SHORT_TITLES.get(best[0], best[0])})" if best else "-"
        rows.append([f"rank {row['rank']}", str(row["nodes"]), _number(row["accuracy"]), _number(row["macro_f1"]), *alone, other])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [_aligned(row, widths) for row in rows]


def _aligned(cells: list[str], widths: list[int]) -> str:
    first, *rest = (
        cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
