"""How good a trained model is on one split of a dataset, beside baselines fitted on the same training split."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from genomix.audit import find_shortcuts, run_checks
from genomix.baselines import baseline_probabilities
from genomix.bundle import Bundle
from genomix.confidence import confidence_figures
from genomix.data.known_classes import Unknown, known_records
from genomix.data.leaks import nearest_training
from genomix.data.related import drawn_together, families
from genomix.data.store import SIMILARITY_FILE, Dataset
from genomix.errors import DataError
from genomix.evaluated import Evaluated
from genomix.metrics import accuracy_by_similarity, compare
from genomix.outputs import atomic_file
from genomix.processes import Processes
from genomix.scorer import PredictSettings, Scorer, build_scorer

_log = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"

_KNOWN = {
    "train": "these records trained the model: the figures say nothing of new ones",
    "validation": "these records chose the model's weights, its temperature and its label sets: the figures flatter it",
}
"""What is said of the splits that a model was made from."""


def evaluate(
    bundle: Bundle,
    dataset: Dataset,
    *,
    split: str = "test",
    settings: PredictSettings | None = None,
    baselines: bool = True,
    checks: bool = True,
    unknown: Unknown = "error",
    seed: int = 0,
    processes: Processes | None = None,
    keep: Callable[[Evaluated], object] | None = None,
) -> dict[str, Any]:
    """What `evaluation/metrics.json` holds: see `genomix.metrics.compare`, and `accuracy_by_similarity` for its `by_similarity`; `genomix.audit` for `audit`,
    `checks` and `length_certificate`; and `genomix.confidence.confidence_figures`. `caveats`: sentences on what the model may know of these records.

    Args:
        split: `train`, `validation` or `test`.
        baselines: fit them on the training split of `dataset`, choose on its validation split; the audit looks at them. Left out where it has other classes.
        checks: score shuffled and cropped records too.
        unknown: `drop` leaves out records of classes that the model does not know; see `left_out` in the result.
        seed: of the bootstrap, and of the samples, shuffles and crops of the checks.
        processes: that share the work; each gets the whole result, the same as of one alone.
        keep: is given what the model says of each record.

    Raises:
        DataError: no records in the split, records too short for a token, or of a class that the model does not know.
    """
    known = known_records(dataset, _labelled(dataset, split), bundle.classes, unknown)
    indices, labels = known.indices, known.labels
    baselines = baselines and _comparable(bundle, dataset)
    elsewhere = _trained_on(bundle) not in (None, dataset.digest)
    caveats = _caveats(bundle, dataset, split, baselines=baselines)
    _warn_of_molecules(bundle, dataset)
    processes = processes or Processes()
    scorer = build_scorer(bundle, settings or PredictSettings(), processes=processes)
    probabilities = split_probabilities(scorer, dataset, indices)
    if keep is not None:
        keep(Evaluated(bundle.classes, indices, labels, probabilities))
    alone = composition_probabilities(scorer, dataset, indices)
    others = processes.from_first(lambda: baseline_probabilities(dataset, split, strand=bundle.strand, seed=seed)) if baselines else {}
    groups = drawn_together(dataset, indices)
    metrics = compare(labels, bundle.classes, probabilities, others, composition=alone, split=split, groups=groups, seed=seed)
    family = families(dataset, indices)
    metrics["bootstrap"] |= _independent(family, labels, bundle.classes)
    metrics["by_similarity"] = _by_similarity(dataset, indices, labels, probabilities, groups=family)
    metrics["audit"] = find_shortcuts(labels, bundle.classes, others, metrics, groups=groups, seed=seed)
    if checks:
        longest = (bundle.provenance.get("dataset") or {}).get("longest_record")
        metrics |= run_checks(
            scorer, dataset, indices, labels, probabilities, groups=groups, seed=seed, own=not elsewhere, longest_trained=longest
        )
    metrics |= confidence_figures(bundle.confidence, labels, probabilities) | known.figures()
    return metrics | {"caveats": caveats} | ({"other_dataset": True} if elsewhere else {})


def _labelled(dataset: Dataset, split: str) -> np.ndarray:
    """The records of a split, which must all have a label."""
    indices = dataset.indices(split)
    if not len(indices):
        raise DataError(
            f"no records in the {split} split",
            where=str(dataset.folder),
            hint="--split names another; preprocess --split makes one",
        )
    if dataset.label_ids[indices].min() < 0:
        raise DataError(f"records of the {split} split have no label", where=str(dataset.folder))
    return indices


def _comparable(bundle: Bundle, dataset: Dataset) -> bool:
    """Whether baselines fitted on the dataset's training split answer the model's question."""
    if not len(dataset.indices("train")):
        return False
    if dataset.classes == bundle.classes:
        return True
    _log.warning("the dataset has other classes than the model: baselines fitted on it could not be compared, and are left out")
    return False


def split_probabilities(scorer: Scorer, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """Class probabilities of these records, float64 [record, class].

    Raises:
        DataError: a record is shorter than one token.
    """
    shortest = int(np.argmin(dataset.lengths[indices]))
    if dataset.lengths[indices][shortest] < scorer.tokenizer.k:
        record = dataset.records.iloc[indices[shortest]]
        raise DataError(
            f"{record['length']} bases, and the model's tokens have {scorer.tokenizer.k}",
            where=f"{dataset.folder}, record '{record['id']}'",
            hint="preprocess with a larger --min-length",
        )
    return np.stack([scores.probabilities for scores in scorer.score(dataset.codes(index) for index in indices)])


def composition_probabilities(scorer: Scorer, dataset: Dataset, indices: np.ndarray) -> np.ndarray | None:
    """Class probabilities of these records by the network's composition branch alone, float64 [record, class]; None where there is no such branch, or it could
    not be fitted and says nothing: all classes are equal to it then."""
    alone = scorer.composition_alone()
    if alone is None:
        return None
    probabilities = split_probabilities(alone, dataset, indices)
    return None if (probabilities == probabilities[:, :1]).all() else probabilities


def write_metrics(metrics: dict[str, Any], folder: Path) -> Path:
    """`metrics.json` in `folder`."""
    path = folder / METRICS_FILE
    with atomic_file(path) as file:
        json.dump(metrics, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")
    return path


def _trained_on(bundle: Bundle) -> str | None:
    """The digest of the dataset that the model was trained on, where that is known."""
    return (bundle.provenance.get("dataset") or {}).get("dataset_sha256")


def _caveats(bundle: Bundle, dataset: Dataset, split: str, *, baselines: bool) -> list[str]:
    """What the model may know of these records, so that its figures flatter it; each is told as a warning too."""
    trained_on = _trained_on(bundle)
    if trained_on == dataset.digest:
        found = [_KNOWN[split]] if split in _KNOWN else []
    elif trained_on is not None:
        found = [
            f"the model was trained on another dataset: it may have seen these records{_compared_with(dataset, split, baselines=baselines)}"
        ]
    else:
        found = []
    for caveat in found:
        _log.warning("%s", caveat)
    return found


def _compared_with(dataset: Dataset, split: str, *, baselines: bool) -> str:
    """What else comes from another dataset than the model, as the end of a sentence; empty where nothing does."""
    if split == "train":
        return ", and baselines were fitted on them" if baselines else ""
    if not len(dataset.indices("train")):
        return ""
    return f", and {'baselines and similarity are' if baselines else 'similarity is'} of the training split of this one"


def _warn_of_molecules(bundle: Bundle, dataset: Dataset) -> None:
    """The model reads all records as it has learnt to, whatever the dataset says of them."""
    if bundle.circular != dataset.circular:
        kinds = ("lines", "rings")
        _log.warning(
            "the model reads records as %s, and the dataset's are %s: they are read as %s",
            *(kinds[circular] for circular in (bundle.circular, dataset.circular, bundle.circular)),
        )
    if bundle.strand == "both" and dataset.strand == "forward":
        _log.warning("the model reads both strands, and the dataset's records have one that counts: both are read")


def _independent(family: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """`families`: how many sets of related records there are, which may be fewer than what the bootstrap draws; `divided`: the classes whose records are one
    such set, so that it draws what is in it. Their intervals say nothing of another such set."""
    alone = [label for label in np.unique(labels) if (labels == label).sum() > 1 and len(np.unique(family[labels == label])) == 1]
    return {"families": len(np.unique(family)), "divided": [classes[label] for label in alone]}


def _by_similarity(
    dataset: Dataset, indices: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, *, groups: np.ndarray
) -> dict[str, Any]:
    """Accuracy by similarity to the training split of the dataset; `{"unavailable": why}` where that can't be said."""
    train = dataset.indices("train")
    if not len(train):
        return {"unavailable": "the dataset has no training split to compare with"}
    if np.isin(indices, train).any():
        return {"unavailable": "these are the training records themselves"}
    found, similarity = nearest_training(dataset, indices)
    ids = dataset.records["id"].to_numpy()
    pairs = [(ids[record], ids[other] if other >= 0 else "") for record, other in zip(indices, found, strict=True)]
    threshold = dataset.info["split"]["similarity"]
    result = accuracy_by_similarity(labels, probabilities, similarity, threshold=threshold, pairs=pairs, groups=groups)
    return {**result, "file": str(dataset.folder / SIMILARITY_FILE) if SIMILARITY_FILE in dataset.info["files"] else None}
