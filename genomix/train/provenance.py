"""Where a model comes from: the summaries that its bundle carries, and the run's `provenance.json`."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genomix import __version__
from genomix.data.store import Dataset
from genomix.errors import GenomixError, UsageError
from genomix.outputs import atomic_file
from genomix.train.state import Training

_FILE = "provenance.json"
_LIBRARIES = ("torch", "lightning-fabric", "numpy", "scikit-learn", "biopython")
_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "roc_auc", "log_loss", "ece", "records")


def summaries(training: Training, dataset: Dataset, metrics: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
    """The bundle's `training`, `dataset` and `evaluation`."""
    trained = dataset.lengths[dataset.indices("train")]
    return {
        "training": training_summary(training, seconds, validated=len(dataset.indices("validation")) > 0),
        "dataset": {
            "dataset_sha256": dataset.digest,
            **{f"{split}_records": len(dataset.indices(split)) for split in ("train", "validation", "test")},
            "shortest_record": int(trained.min()),
            "longest_record": int(trained.max()),
        },
        "evaluation": _evaluation(metrics, dataset.info["split"] or {}) if metrics else None,
    }


def training_summary(training: Training, seconds: float, *, validated: bool) -> dict[str, Any]:
    """How a run went, and what it started from.

    Args:
        validated: whether there was a validation split.
    """
    progress = training.progress
    return {
        "steps": progress.step,
        "best_step": progress.best_step,
        "validation_loss": progress.best_loss if validated else None,
        "seconds": round(seconds, 1),
        "device": training.fabric.device.type,
        "processes": training.processes.world,
        "precision": training.settings.precision,
        "seed": training.settings.seed,
        **training.start,
    }


def require_same_dataset(dataset: Dataset) -> None:
    """Raise where the dataset that training has read is another one at its end: what follows would be of both.

    Raises:
        InputMissing: the dataset is gone.
        DataError: it holds other records now.
    """
    try:
        dataset.require_same()
    except GenomixError as error:
        hint = "put back the dataset that training began with: the state is saved, and the same command with --resume finishes"
        raise type(error)(error.message, where=error.where, hint=hint) from error


def describe_run(dataset: Dataset) -> dict[str, Any]:
    """What is known when a run begins: command, machine, versions, data."""
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "working_folder": str(Path.cwd()),
        "dataset_folder": str(dataset.folder.resolve()),
        "versions": {"genomix": __version__, "python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "dataset": {"dataset_sha256": dataset.digest},
    }


def begin_provenance(training: Training, folder: Path, dataset: Dataset) -> None:
    """What is known when a run begins, written by its first process."""
    training.processes.from_first(lambda: write_provenance(folder, describe_run(dataset)))


def write_provenance(folder: Path, content: dict[str, Any]) -> None:
    """`provenance.json` of a run folder: written when the run begins, so that it can be resumed, and again with its results."""
    with atomic_file(folder / _FILE) as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")


def begun_with(folder: Path) -> Path:
    """The dataset folder that the run in `folder` was begun with.

    Raises:
        UsageError: the run had not come so far as to write it down.
    """
    content = _read(folder)
    if content is None:
        raise UsageError(
            "the run stopped before it had read its data",
            where=str(folder),
            hint="give the data again: genomix train SOURCES -o DIR --resume",
        )
    return Path(content["dataset_folder"])


def begun_digest(folder: Path) -> str | None:
    """The digest of that dataset as it was then; None where the run had not come so far as to write it down."""
    digest: str | None = (_read(folder) or {}).get("dataset", {}).get("dataset_sha256")
    return digest


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / _FILE
    content: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return content


def _evaluation(metrics: dict[str, Any], split: dict[str, Any]) -> dict[str, Any]:
    gain = metrics["gain"]
    best = {"best_baseline": gain["baseline"], "gain_over_it": f"{gain['metric']} {gain['difference']:+z.3f}"} if gain else {}
    certificate = metrics.get("length_certificate")
    lengths = {f"{end}_certified": certificate[end] for end in ("shortest", "longest")} if certificate else {}
    return {name: metrics[name] for name in _FIGURES} | best | lengths | {"basis": _basis(metrics, split)}


def _basis(metrics: dict[str, Any], split: dict[str, Any]) -> dict[str, Any]:
    """What the figures rest on, for a reader who has the model alone.

    Returns:
        `confidence` of `intervals` (figure -> `[low, high]` or None) and of `gain`, that of `metrics`; `composition`: `macro_f1` of that branch alone, and the
        `gain` over it, None without one; `units`: test records, or sets of related ones, that are
        independent of each other; `split_method split_seed`; `near_duplicates` of training records, None where that is not known, at `similarity` or more;
        `classes_without_records`; `warnings`: titles of the audit's.
    """
    bootstrap, near = metrics["bootstrap"], metrics["by_similarity"].get("near")
    alone = metrics["composition"]
    findings = (metrics["audit"] or {}).get("findings", [])
    return {
        "confidence": bootstrap["confidence"],
        "intervals": {name: metrics["intervals"][name] for name in _FIGURES if name in metrics["intervals"]},
        "units": min(bootstrap["units"], bootstrap["families"]),
        "gain": metrics["gain"],
        "composition": {name: alone[name] for name in ("macro_f1", "gain")} if alone else None,
        "split_method": split.get("method"),
        "split_seed": split.get("seed"),
        "near_duplicates": near["records"] if near else None,
        "similarity": metrics["by_similarity"].get("threshold"),
        "classes_without_records": [row["class"] for row in metrics["per_class"] if not row["support"]],
        "warnings": [finding["title"] for finding in findings if finding["kind"] == "warning"],
    }
