"""The figures of one set: each variant over its seeds, each rival, and the paired difference between them."""

import json
import statistics
from typing import Any

import numpy as np
from accuracy_rivals import Tables, strengths
from accuracy_runs import FAILURE, PROBABILITIES, RESULT, SPLITS
from accuracy_sets import Places, Run

from genomix.data.related import drawn_together
from genomix.data.store import Dataset
from genomix.metrics import headline
from genomix.metrics.bootstrap import freedom_of_classes, interval, resampled_weights, sampling_units
from genomix.metrics.weighted import figures_of_decisions

FIGURES = ("accuracy", "macro_f1", "roc_auc", "log_loss")
COSTS = ("wall_s", "training_s", "peak_memory_mb", "steps", "best_step", "parameters")
GAIN_METRIC = "macro_f1"
CONFIDENCE = 0.90
RESAMPLES = 2000

Rivals = dict[str, np.ndarray]


def of_rivals(places: Places, name: str, dataset: Dataset, tables: Tables) -> dict[str, Any]:
    """Every rival's figures, the best of them by the validation split, and the best by the test split.

    The second knows the answer, which nobody has who chooses a rival: the network is held against the strongest of twelve.
    """
    chosen = strengths(places, name)
    figures = {
        rival: {"C": chosen[rival], **{split: _read(dataset, split, each[split], FIGURES) for split in SPLITS}}
        for rival, each in tables.items()
    }

    def quality(rival: str, split: str) -> tuple[float, float]:
        return figures[rival][split][GAIN_METRIC], -figures[rival][split]["log_loss"]

    by = {split: max(figures, key=lambda rival, split=split: quality(rival, split)) for split in SPLITS}
    return {"best_by_validation": by["validation"], "best_on_test": by["test"], "each": figures}


def of_variant(places: Places, runs: list[Run], dataset: Dataset, split: str, rivals: Rivals) -> dict[str, Any] | None:
    """A variant over the seeds that are done; None where none was tried.

    Args:
        split: whose records the differences from the rivals are taken on.
        rivals: title -> probabilities [record, class] of that split.
    """
    done = [run for run in runs if (places.run(run) / RESULT).exists()]
    failures = [json.loads((places.run(run) / FAILURE).read_text()) for run in runs if (places.run(run) / FAILURE).exists()]
    if not done:
        return {"seeds": [], "failed": sorted({each["message"] for each in failures})} if failures else None
    results = [json.loads((places.run(run) / RESULT).read_text()) for run in done]
    _require_same_data(runs[0], results, dataset)
    probabilities = [np.load(places.run(run) / PROBABILITIES) for run in done]
    ours = np.stack([each[split] for each in probabilities])
    return {
        "seeds": [run.seed for run in done],
        "arguments": done[0].arguments[2:],
        **{split: {figure: spread([result[split][figure] for result in results]) for figure in FIGURES} for split in SPLITS},
        "against": {title: gain(dataset, split, ours, theirs) for title, theirs in rivals.items()},
        **{cost: spread([result[cost] for result in results]) for cost in COSTS},
        **{each: sorted({str(result[each]) for result in results}) for each in ("threads", "device", "commit")},
        "failed": sorted({each["message"] for each in failures}),
    }


def gain(dataset: Dataset, split: str, ours: np.ndarray, theirs: np.ndarray, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """How much higher the mean over seeds of the network's macro-F1 is than the rival's, and its bootstrap interval.

    Each resample draws records that hang together at once, and is read by every seed and by the rival.

    Args:
        ours: probabilities [seed, record, class]; theirs: [record, class].
    """
    indices = dataset.indices(split)
    labels, groups = dataset.label_ids[indices], drawn_together(dataset, indices)
    network, rival = seed_mean(labels, ours), headline(labels, theirs)[GAIN_METRIC]
    differences = np.concatenate(
        [_differences(labels, ours, theirs, weights) for weights in resampled_weights(len(labels), groups, resamples, 0)]
    )
    units = sampling_units(len(labels), groups)
    bounds = interval(differences, units, CONFIDENCE, freedom=min(freedom_of_classes(labels, groups), units - 1))
    assert bounds is not None, f"{units} independent records are too few for an interval"
    return {
        "difference": network - rival,
        "low": bounds[0],
        "high": bounds[1],
        "confidence": CONFIDENCE,
        "units": units,
        "records": len(labels),
    }


def seed_mean(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean over seeds of the macro-F1 of probabilities [seed, record, class]."""
    return statistics.mean(headline(labels, each)[GAIN_METRIC] for each in probabilities)


def spread(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation (of a sample; None for one value) and the values."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "sd": deviation, "values": values}


def _differences(labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    network = np.mean([figures_of_decisions(labels, each, weights)[GAIN_METRIC] for each in ours], axis=0)
    return network - figures_of_decisions(labels, theirs, weights)[GAIN_METRIC]


def _read(dataset: Dataset, split: str, probabilities: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    figures = headline(dataset.label_ids[dataset.indices(split)], probabilities)
    return {name: figures[name] for name in names}


def _require_same_data(run: Run, results: list[dict[str, Any]], dataset: Dataset) -> None:
    if any(result["dataset_sha256"] != dataset.digest for result in results):
        raise SystemExit(f"{run.set}, {run.name}: runs on another dataset than the work folder now holds; take another --work")
