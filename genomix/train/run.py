"""A whole training run, from a dataset to a run folder.

The order: fix the network's size from the training records; start the weights; fit, choosing by the validation split; put the chosen weights back; learn from the
validation split what its probabilities are worth; read the test split once, beside the baselines; write the model.
"""

import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from genomix.bundle import Bundle, new_model, save_bundle
from genomix.confidence.temperature import calibrated_log_losses
from genomix.data.balance import class_weights
from genomix.data.batches import TrainingBatches
from genomix.data.related import drawn_together
from genomix.data.store import Dataset
from genomix.evaluate import evaluate, split_probabilities, write_metrics
from genomix.evaluated import Evaluated, write_evaluated
from genomix.metrics import headline
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.nn.reconstruction import Reconstructor
from genomix.scorer import PredictSettings, Scorer
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train.body import start_body
from genomix.train.choice import Reading
from genomix.train.composition import fit_composition
from genomix.train.confidence import with_confidence
from genomix.train.devices import launch, processes_of, require_records_for
from genomix.train.history import HISTORY_FILE, History
from genomix.train.kept_composition import COMPOSITION_FILE, kept_or_fitted
from genomix.train.loop import fit
from genomix.train.memory import guard_memory
from genomix.train.optim import averaged, build_optimizer, build_schedule
from genomix.train.provenance import begin_provenance, describe_run, require_same_dataset, summaries, write_provenance
from genomix.train.recipe import Recipe, decide, step_count, training_records, validation_count
from genomix.train.settings import TrainSettings
from genomix.train.state import Progress, Training, resume_from_checkpoint
from genomix.train.update import Update, smoothed_loss

CHECKPOINTS = "checkpoints"

BatchesT = TypeVar("BatchesT", bound=TrainingBatches)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run ends with: the model, the test split's metrics where there is a test split, and the content of `provenance.json`."""

    bundle: Bundle
    metrics: dict[str, Any] | None
    provenance: dict[str, Any]


def train(
    dataset: Dataset,
    tokenizer: TokenizerSettings,
    model: ModelSettings,
    settings: TrainSettings,
    folder: Path,
    *,
    fabric: Fabric | None = None,
    resume: bool = False,
) -> RunResult:
    """Train on the dataset's training split and fill `folder` with metrics.jsonl, checkpoints/, model/, evaluation/ and provenance.json.

    Args:
        fabric: as `launch` makes it; None launches one here.
        resume: go on from the newest checkpoint in `folder`, or from the start where there is none.

    Raises:
        DataError: the dataset has no labelled training records, fewer than two classes, or a checkpoint belongs to other data or settings.
        SettingsError: training diverged, or an update has too few records for the processes.
        UsageError: this machine has no such device.
        Interrupted: a signal asked to stop; the state is saved.
        ProcessLost: another process of the run ended.
    """
    started = time.monotonic()
    records = training_records(dataset, tokenizer)
    recipe = decide(dataset, records, tokenizer, model, settings)
    weights = class_weights(dataset.label_ids[records], len(dataset.classes), settings.balance, settings.balance_limit)
    training, bundle = _prepare(fabric or launch(settings), dataset, records, recipe, folder, factors=weights, resume=resume)
    training.since = started
    if resume:
        resume_from_checkpoint(training)
    validation = dataset.indices("validation")
    scorer = Scorer(
        training.average.module,
        bundle.tokenizer,
        max_tokens=recipe.model.max_tokens,
        strand=recipe.strand,
        circular=dataset.circular,
        settings=_predicting(settings),
        processes=training.processes,
    )
    validate = partial(_read_split, scorer, dataset, validation, weights) if len(validation) else None
    begin_provenance(training, folder, dataset)
    with History(folder / HISTORY_FILE, step=training.progress.step, steps=training.steps, writes=training.processes.is_first) as history:
        fit(training, validate, history)
    bundle = replace(bundle, model=training.kept())
    return _finish(training, bundle, dataset, folder)


def _prepare(
    fabric: Fabric, dataset: Dataset, records: np.ndarray, recipe: Recipe, folder: Path, *, factors: np.ndarray, resume: bool = False
) -> tuple[Training, Bundle]:
    settings, processes = recipe.training, processes_of(fabric)
    torch.manual_seed(settings.seed)
    model = new_model(recipe.model, recipe.tokenizer, len(dataset.classes))

    def begin() -> tuple[dict[str, Any], dict[str, str], torch.Tensor | None]:
        start = start_body(model, dataset, records, recipe.tokenizer, settings, strand=recipe.strand)
        origin = recipe.origin(dataset, init_sha256=start.get("init_sha256"))
        if model.composition is None:
            return start, origin, None
        fit = partial(
            fit_composition, model, dataset, records, recipe.tokenizer.k, strand=recipe.strand, seed=settings.seed, weights=factors
        )
        path = folder / CHECKPOINTS / COMPOSITION_FILE
        return start, origin, kept_or_fitted(path, model.composition, origin, fit, resume=resume)

    start, origin, composition = processes.from_first(begin)
    weights = torch.from_numpy(factors).float() if settings.balance == "weights" else None
    loss = nn.CrossEntropyLoss(weight=weights, label_smoothing=settings.label_smoothing, reduction="sum")
    training = assemble(
        fabric,
        model,
        Update(model, loss, processes),
        training_batches(TrainingBatches, dataset, records, recipe, factors if settings.balance == "sampling" else None),
        settings,
        folder=folder,
        origin=origin,
        start=start,
        validation_bases=float(dataset.lengths[dataset.indices("validation")].sum()) * (2 if recipe.strand == "both" else 1),
        composition=composition,
        floor=smoothed_loss(settings.label_smoothing, len(dataset.classes)),
    )
    _announce(model, dataset, records, training)
    return training, Bundle(model, recipe.tokenizer, dataset.classes, recipe.strand, dataset.circular)


def assemble(
    fabric: Fabric,
    network: Classifier | Reconstructor,
    update: nn.Module,
    batches: TrainingBatches,
    settings: TrainSettings,
    *,
    folder: Path,
    origin: dict[str, str],
    start: dict[str, Any],
    validation_bases: float,
    composition: torch.Tensor | None = None,
    floor: float = 0.0,
    fall: float = 0.2,
) -> Training:
    """What the loop works on, at its first step; all processes begin with the weights that the first one has.

    Args:
        update: gives the loss of an update of the network.
        validation_bases: that one reading of the held-out records takes.
        floor, fall: see `Training`.

    Raises:
        SettingsError: an update has too few records for the processes.
    """
    processes = processes_of(fabric)
    require_records_for(settings, processes.world)
    steps = step_count(settings, batches.steps(), batches.tokens_per_update)
    # What processors of different makes have computed may differ, and only DDP would see to it.
    network.load_state_dict(processes.from_first(network.state_dict))
    average = averaged(network, memory=settings.average)  # copied now: a sharded network can't be
    wrapped = fabric.setup_module(update)
    optimizer: Any = fabric.setup_optimizers(build_optimizer(network, settings))  # made now: sharding replaces the parameters
    return Training(
        fabric=fabric,
        processes=processes,
        network=network,
        model=wrapped,
        optimizer=optimizer,
        schedule=build_schedule(optimizer, steps, settings.warmup),
        batches=batches,
        steps=steps,
        validations=validation_count(settings, steps, steps * batches.tokens_per_update, validation_bases / batches.tokenizer.stride),
        settings=settings,
        checkpoints=folder / CHECKPOINTS,
        origin=origin,
        start=start,
        progress=Progress(),
        average=average.to(network.embedding.weight),
        guard=guard_memory(fabric, processes, network, batches, settings),
        composition=None if composition is None else composition.to(fabric.device),
        best={},
        floor=floor,
        fall=fall,
    )


def training_batches(
    kind: type[BatchesT], dataset: Dataset, records: np.ndarray, recipe: Recipe, factors: np.ndarray | None = None
) -> BatchesT:
    """What a run of this recipe reads.

    Args:
        kind: of batches; a benchmark's also watch the clock.
        factors: see `TrainingBatches`.
    """
    settings = recipe.training
    return kind(
        dataset,
        records,
        build_tokenizer(recipe.tokenizer),
        settings.augment,
        strand=recipe.strand,
        max_tokens=recipe.model.max_tokens,
        token_budget=settings.token_budget,
        max_records=settings.max_records,
        seed=settings.seed,
        factors=factors,
    )


def _predicting(settings: TrainSettings) -> PredictSettings:
    return PredictSettings(token_budget=settings.token_budget)


def _read_split(scorer: Scorer, dataset: Dataset, indices: np.ndarray, weights: np.ndarray) -> Reading:
    """Of a split; the loss, after calibration, weighs records as training does."""
    labels, probabilities = dataset.label_ids[indices], split_probabilities(scorer, dataset, indices)
    figures, losses = headline(labels, probabilities), calibrated_log_losses(labels, probabilities, weights[labels])
    told = {"loss": float(losses.sum()), **{name: figures[name] for name in ("accuracy", "macro_f1")}}
    families = np.unique(drawn_together(dataset, indices), return_inverse=True)[1]
    return Reading(told, torch.from_numpy(losses), torch.from_numpy(families))


def _announce(model: Classifier, dataset: Dataset, records: np.ndarray, training: Training) -> None:
    _log.info(
        "training %s parameters on %d records of %d classes, %s bases: %d steps of %d records on %s",
        f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        len(records),
        len(dataset.classes),
        f"{int(dataset.lengths[records].sum()):,}",
        training.steps,
        min(training.settings.max_records, len(records)),
        training.fabric.device,
    )
    seen = training.steps * training.settings.max_records
    if seen < len(records):
        _log.warning(
            "only about %s of %s training records will be seen, %d an update: train.most_steps (and train.most_tokens) set how many updates there are at most, train.max_records how large they are",
            f"{seen:,}",
            f"{len(records):,}",
            training.settings.max_records,
        )


def _finish(training: Training, bundle: Bundle, dataset: Dataset, folder: Path) -> RunResult:
    """Confidence, test split, model and provenance, written by the first process only."""
    metrics, settings, processes, seconds = None, training.settings, training.processes, training.seconds
    processes.from_first(lambda: require_same_dataset(dataset))
    bundle = with_confidence(bundle, dataset, settings, _predicting(settings), processes)
    evaluated: list[Evaluated] = []
    if len(dataset.indices("test")):
        metrics = evaluate(
            bundle,
            dataset,
            split="test",
            settings=_predicting(settings),
            checks=settings.checks,
            seed=settings.seed,
            processes=processes,
            keep=evaluated.append,
        )
    bundle = replace(bundle, provenance=summaries(training, dataset, metrics, seconds))
    provenance = describe_run(dataset) | bundle.provenance

    def write() -> None:
        if metrics:
            write_metrics(metrics, folder / "evaluation")
        for each in evaluated:
            write_evaluated(each, dataset, folder / "evaluation")
        save_bundle(bundle, folder / "model", force=True)
        write_provenance(folder, provenance)

    processes.from_first(write)
    return RunResult(bundle, metrics, provenance)
