"""A run from the user's files to the run folder: prepare the data where needed, train, and write everything down.

run.toml          the resolved settings
dataset/          what preprocessing made, when the run began with sequence files
metrics.jsonl     a line a step and a validation        checkpoints/   to resume from
model/            the trained model                      evaluation/    of the test split: metrics.json, predictions.tsv
report.html       for people                             provenance.json
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from lightning_fabric import Fabric

from genomix.audit import audit_lines
from genomix.beginning import DATASET_FOLDER, SETTINGS_FILE, dataset_folder, require_new, settings_of
from genomix.data.info import left_out_lines
from genomix.data.preprocess import PreprocessSettings, input_paths, inputs, preprocess, settle
from genomix.data.same_sources import require_same_sources
from genomix.data.splits import SPLITS
from genomix.data.store import Dataset
from genomix.errors import SettingsError, UsageError
from genomix.metrics import summary_lines
from genomix.outputs import atomic_folder, require_apart
from genomix.report import DataSummary, ReportInputs, write_report
from genomix.settings import to_toml
from genomix.settings.run import RunSettings
from genomix.train.devices import launch, processes_of
from genomix.train.history import HISTORY_FILE, read_history
from genomix.train.provenance import begun_digest, begun_with
from genomix.train.recipe import flat, require_trainable
from genomix.train.run import RunResult, train
from genomix.train.stopping import interrupted_with_hint, stopping_at_once

_log = logging.getLogger(__name__)

SettingsT = TypeVar("SettingsT", bound=RunSettings)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What a run has to show for itself."""

    folder: Path
    dataset: Dataset
    result: RunResult
    speaks: bool
    """Off in all processes of a run but the first."""

    def summary(self) -> list[str]:
        """Lines for the terminal; the first is the gain over the best baseline."""
        if self.result.metrics is None:
            return ["no test split, so nothing is known of how good the model is"]
        return [*summary_lines(self.result.metrics), *audit_lines(self.result.metrics)]


@stopping_at_once()
def run(sources: Sequence[str], settings: RunSettings, folder: Path, *, resume: bool = False, force: bool = False) -> FinishedRun:
    """Train on a dataset folder, or on sequence files with labels, into a run folder.

    Args:
        sources: one dataset folder, or what `preprocess` takes.
        resume: go on with the run that is in `folder`, where there is one.
        force: replace it.

    Raises:
        OutputError: the folder exists, and neither `resume` nor `force` is on.
        Interrupted: a signal asked to stop.
        KeyboardInterrupt: Ctrl-C, outside the updates or twice; it says how to go on.
        GenomixError: as preprocessing, training and evaluation raise.
    """
    opened = open_run(sources, settings, folder, _require_trainable, resume=resume, force=force)
    fabric, dataset, settings = opened.fabric, opened.dataset, opened.settings
    with interrupted_with_hint():
        result = train(dataset, settings.tokenizer, settings.model, settings.train, folder, fabric=fabric, resume=resume)
        if fabric.is_global_zero:
            write_report(folder, report_inputs(result, dataset, settings, folder))
    return FinishedRun(folder, dataset, result, speaks=fabric.is_global_zero)


@dataclass(frozen=True, slots=True)
class OpenedRun(Generic[SettingsT]):
    """A run folder that is there, with the data and settings that hold for it."""

    fabric: Fabric
    dataset: Dataset
    settings: SettingsT


def open_run(
    sources: Sequence[str], settings: SettingsT, folder: Path, require: Callable[[Dataset, SettingsT], None], *, resume: bool, force: bool
) -> OpenedRun[SettingsT]:
    """Begin a run folder, or find the one to resume.

    Args:
        require: raises when the data and settings don't do; called before the folder appears.
    """
    if resume and force:
        raise UsageError("--resume and --force exclude each other")
    ready = dataset_folder(sources)
    if ready is None and not sources and resume and (folder / SETTINGS_FILE).exists() and not (folder / DATASET_FOLDER).exists():
        ready = begun_with(folder)
    if ready is not None:
        settings = settings.model_copy(update={"data": _settings_of_dataset(ready, settings.data)})
    fabric = launch(settings.train)

    def begin() -> None:
        if resume and (folder / SETTINGS_FILE).exists():
            _require_same(settings, folder)
            if sources and ready is None:
                _require_same_files(sources, settings, folder)
        else:
            _begin(sources, ready, settings, folder, require, force=force)

    processes_of(fabric).from_first(begin)
    return OpenedRun(fabric, _begun(sources, ready, settings, folder), settings)


def report_inputs(result: RunResult, dataset: Dataset, settings: RunSettings, folder: Path) -> ReportInputs:
    """What the report of a run shows."""
    model = result.bundle.model
    return ReportInputs(
        run=str(folder),
        metrics=result.metrics,
        history=read_history(folder / HISTORY_FILE),
        data=_data_summary(dataset),
        settings=to_toml(settings),
        provenance=result.provenance,
        model={
            "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
            "longest record read whole": f"{model.settings.max_tokens * result.bundle.tokenizer.stride:,} bases",
            "mixer": model.settings.block.mixer.summary,
            "mixing steps a block": str(model.settings.block.mixer.steps(-(-model.settings.max_tokens // model.settings.patch))),
            "ends": "joined (circular molecules)" if dataset.circular else "open (linear molecules)",
            "strands": result.bundle.strand,
        },
    )


def _require_trainable(dataset: Dataset, settings: RunSettings) -> None:
    require_trainable(dataset, settings.tokenizer, settings.model, settings.train)


def _begin(
    sources: Sequence[str],
    ready: Path | None,
    settings: SettingsT,
    folder: Path,
    require: Callable[[Dataset, SettingsT], None],
    *,
    force: bool,
) -> None:
    """A new run folder with its settings and, where no dataset is ready, the one of the sequence files; an earlier run is replaced only when these are there."""
    require_new(folder, force=force)
    if ready is None:
        files, settled = settle(sources, settings.data)
        read: list[str | Path] = [*input_paths(files, settled.labels)]
    else:
        read = [ready]
    require_apart(folder, [*read, *([settings.train.init] if settings.train.init else [])])
    with atomic_folder(folder, marker=SETTINGS_FILE, force=force) as temporary:
        dataset = Dataset.open(ready) if ready else preprocess(sources, settings.data, temporary / DATASET_FOLDER)
        require(dataset, settings)
        (temporary / SETTINGS_FILE).write_text(to_toml(settings), encoding="utf-8")
    if ready is None:
        for line in left_out_lines(dataset.info, f"{DATASET_FOLDER}/rejected.tsv"):
            _log.info("%s", line)


def _begun(sources: Sequence[str], ready: Path | None, settings: RunSettings, folder: Path) -> Dataset:
    """The data of the run that is in `folder`, which must have been begun with these settings."""
    _require_same(settings, folder)
    made = folder / DATASET_FOLDER
    if made.exists():
        dataset = Dataset.open(made)
        if ready is not None:
            _require_same_records(dataset.digest, Dataset.open(ready))
        return dataset
    if ready is None:
        raise UsageError(
            f"the run was begun with a dataset folder, {begun_with(folder)}, and not with {sources[0]}",
            hint="leave the files out with --resume, or train into another folder",
        )
    dataset = Dataset.open(ready)
    _require_same_records(begun_digest(folder), dataset)
    return dataset


def _require_same_files(sources: Sequence[str], settings: RunSettings, folder: Path) -> None:
    """Raises UsageError where a run that has made its own dataset is resumed with other files, or other labels for them. One process asks: it reads them."""
    made = folder / DATASET_FOLDER
    if made.exists():
        files, settled = settle(sources, settings.data)
        require_same_sources(inputs(files, settled.labels), Dataset.open(made).info["sources"])


def _require_same_records(digest: str | None, dataset: Dataset) -> None:
    """Raises UsageError where a run is resumed with another dataset than the one of this digest, which it was begun with; None is not known."""
    if digest not in (None, dataset.digest):
        raise UsageError(
            f"the run was begun with other records than those of {dataset.folder}",
            hint="--resume with the dataset as it was then, or train into another folder",
        )


def _require_same(settings: RunSettings, folder: Path) -> None:
    """Raises SettingsError, naming the difference, when a run that is resumed was begun with settings that make other updates."""
    begun, now = (flat(each.model_dump(mode="json")) for each in (settings_of(folder, type(settings)), settings))
    how = {f"train.{name}" for name in settings.train.HOW}
    for name, value in now.items():
        if begun[name] != value and name not in how:
            raise SettingsError(
                f"{name} is {value!r}, and the run was begun with {begun[name]!r}",
                where=str(folder / SETTINGS_FILE),
                hint="train into another folder with -o, or replace this one with --force",
            )


def _settings_of_dataset(folder: Path, wanted: PreprocessSettings) -> PreprocessSettings:
    """What a dataset that is there was made with; settings that only preprocessing reads must not be asked for in vain. Of those that no one set but a file,
    the usual ones are not asked for: a run.toml has all settings.

    Raises:
        UsageError: others are wanted.
    """
    info = Dataset.open(folder).info
    made = PreprocessSettings.model_validate(info["settings"])
    if info["split"] is None:  # unlabelled records: preprocessing has not split them, and what pretraining holds out is open
        made = made.model_copy(update={"split": wanted.split})
    method = made.split.method or (info["split"] or {}).get("method")  # what was left open was decided by the data
    settled = made.model_copy(
        update={"split": made.split.model_copy(update={"method": method}), "circular": info["circular"], "strand": info["strand"]}
    )
    seed, strand = settled.split.seed, settled.strand  # of the command's options these two are training's as well
    wanted = wanted.model_copy(update={"split": wanted.split.model_copy(update={"seed": seed}), "strand": strand})
    was, now, usual = (flat(each.model_dump(mode="json")) for each in (settled, wanted, PreprocessSettings()))
    asked = flat(wanted.model_dump(mode="json", exclude_unset=True))
    for name, value in now.items():
        meant = value is not None if name in asked else value != usual[name]
        if meant and value != was[name]:
            raise UsageError(
                f"{folder} was preprocessed with data.{name} {was[name]!r}, not {value!r}",
                hint="preprocess again with it, or leave it out here",
            )
    return made


def _data_summary(dataset: Dataset) -> DataSummary:
    info, records = dataset.info, dataset.records
    split = info["split"] or {}
    table = records.groupby(["label", "split"]).size()
    counts = {name: {part: int(table.get((name, part), 0)) for part in SPLITS} for name in dataset.classes}
    return DataSummary(
        counts=counts,
        lengths=(int(dataset.lengths.min()), int(np.median(dataset.lengths)), int(dataset.lengths.max())),
        split_method=split.get("method", "none"),
        split_seed=split.get("seed", 0),
        clusters=split.get("clusters"),
        largest_cluster=split.get("largest_cluster"),
        similarity=split.get("similarity"),
        highest_similarity=split.get("highest_similarity"),
        notes=split.get("notes", []),
        held_back=split.get("held_back", []),
        overlapping=split.get("overlapping", {}),
        divided_groups=split.get("divided_groups", 0),
        rejected=info["counts"]["rejected"],
        sources=[(source["path"], source["sha256"] or "") for source in info["sources"]],
    )
