"""A whole training run, from a dataset to a run folder.

The order: fix the network's size from the training records; start the weights; fit, choosing by the validation split; put the chosen weights back; read the
test split once, beside the baselines; write the model.
"""

import hashlib
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from genomix.bundle import Bundle, new_model, save_bundle
from genomix.data.augment import Strand
from genomix.data.batches import TrainingBatches
from genomix.data.store import Dataset
from genomix.errors import DataError, SettingsError
from genomix.evaluate import evaluate, split_probabilities, write_metrics
from genomix.metrics import headline
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.nn.reconstruction import Reconstructor
from genomix.predict import PredictSettings, Scorer
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train.body import read_body, require_fitting, start_body
from genomix.train.devices import launch
from genomix.train.history import History
from genomix.train.loop import Progress, Training, fit, resume_from_checkpoint
from genomix.train.optim import build_optimizer, build_schedule, class_weights
from genomix.train.provenance import describe_run, summaries, write_provenance
from genomix.train.settings import TrainSettings

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
        SettingsError: training diverged, or there are too few batches for the processes.
        UsageError: this machine has no such device.
        Interrupted: a signal asked to stop; the state is saved.
    """
    started = time.monotonic()
    records = training_records(dataset, tokenizer)
    recipe = decide(dataset, records, tokenizer, model, settings)
    training, bundle = _prepare(fabric or launch(settings), dataset, records, recipe, folder)
    if resume:
        resume_from_checkpoint(training)
    validation = dataset.indices("validation")
    scorer = Scorer(
        training.model,
        bundle.tokenizer,
        max_tokens=recipe.model.max_tokens,
        strand=recipe.strand,
        circular=dataset.circular,
        settings=_predicting(settings),
    )
    validate = (lambda: _read_split(scorer, dataset, validation)) if len(validation) else None
    if training.fabric.is_global_zero:
        write_provenance(folder, describe_run(dataset))
    with History(
        folder / "metrics.jsonl", step=training.progress.step, steps=training.steps, writes=training.fabric.is_global_zero
    ) as history:
        fit(training, validate, history)
    bundle.model.load_state_dict(training.best)
    return _finish(training, bundle, dataset, folder, time.monotonic() - started)


def resized(model: ModelSettings, longest: int, *, circular: bool, tokenizer: TokenizerSettings) -> ModelSettings:
    """The settings with `max_tokens` lowered to the power-of-two multiple of a patch that holds a record of `longest` bases.

    Factors beyond a record's length would never be trained. A network tied to absolute positions stays as it is.
    """
    if model.fixed_length:
        return model
    tokens = ((longest - 1) if circular else max(0, longest - tokenizer.k)) // tokenizer.stride + 1
    positions = -(-tokens // model.patch)
    rounded = model.patch * 2 ** (positions - 1).bit_length()
    return model.model_copy(update={"max_tokens": min(model.max_tokens, rounded)})


def step_count(settings: TrainSettings, batches_per_epoch: int) -> int:
    """Updates of the whole run."""
    if settings.steps:
        return settings.steps
    return min(settings.most_steps, max(settings.fewest_steps, settings.epochs * batches_per_epoch))


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings that hold for this dataset: the network's size and the strand are decided."""

    tokenizer: TokenizerSettings
    model: ModelSettings
    training: TrainSettings
    strand: Strand

    def fingerprint(self, dataset: Dataset, *others: str) -> str:
        """Names what must be equal for a checkpoint to be continued; `others` beside the data and the settings."""
        parts = [dataset.digest, self.strand, *(each.model_dump_json() for each in (self.tokenizer, self.model, self.training)), *others]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def decide(dataset: Dataset, records: np.ndarray, tokenizer: TokenizerSettings, model: ModelSettings, settings: TrainSettings) -> Recipe:
    """What holds for these training records."""
    longest = int(dataset.lengths[records].max())
    model = resized(model, longest, circular=dataset.circular, tokenizer=tokenizer)
    return Recipe(tokenizer, model, settings, dataset.strand if settings.strand == "auto" else settings.strand)


def _prepare(fabric: Fabric, dataset: Dataset, records: np.ndarray, recipe: Recipe, folder: Path) -> tuple[Training, Bundle]:
    settings = recipe.training
    torch.manual_seed(settings.seed)
    model = new_model(recipe.model, recipe.tokenizer, len(dataset.classes))
    start = start_body(model, dataset, records, recipe.tokenizer, settings, strand=recipe.strand)
    weights = class_weights(torch.from_numpy(dataset.label_ids[records]), len(dataset.classes), settings.class_weights)
    loss = nn.CrossEntropyLoss(weight=weights, label_smoothing=settings.label_smoothing)
    fingerprint = recipe.fingerprint(dataset, *filter(None, [start.get("init_sha256")]))
    training = assemble(
        fabric, model, _batches(dataset, records, recipe), loss, settings, folder=folder, fingerprint=fingerprint, start=start
    )
    _announce(model, dataset, records, training)
    return training, Bundle(model, recipe.tokenizer, dataset.classes, recipe.strand, dataset.circular)


def assemble(
    fabric: Fabric,
    model: Classifier | Reconstructor,
    batches: TrainingBatches,
    loss: nn.Module,
    settings: TrainSettings,
    *,
    folder: Path,
    fingerprint: str,
    start: dict[str, Any],
) -> Training:
    """What the loop works on, at its first step.

    Raises:
        SettingsError: there are too few batches for the processes.
    """
    planned = len(batches.plan(0))
    if planned < fabric.world_size:
        raise SettingsError(
            f"an epoch has {planned} batches, too few for {fabric.world_size} processes",
            hint="fewer train.devices, or a smaller train.max_records or train.token_budget",
        )
    steps = step_count(settings, planned // fabric.world_size)
    wrapped, optimizer = fabric.setup(model, build_optimizer(model, settings))
    return Training(
        fabric=fabric,
        model=wrapped,
        optimizer=optimizer,
        schedule=build_schedule(optimizer, steps, settings.warmup),
        batches=batches,
        loss=loss.to(fabric.device),
        steps=steps,
        settings=settings,
        checkpoints=folder / "checkpoints",
        fingerprint=fingerprint,
        start=start,
        progress=Progress(),
        best={},
    )


def require_trainable(dataset: Dataset, tokenizer: TokenizerSettings, model: ModelSettings, settings: TrainSettings) -> None:
    """Raise what `train` would raise of the data and of `train.init` before its first step."""
    records = training_records(dataset, tokenizer)
    if settings.init is not None:
        require_fitting(read_body(settings.init), decide(dataset, records, tokenizer, model, settings).model, tokenizer)


def training_records(dataset: Dataset, tokenizer: TokenizerSettings) -> np.ndarray:
    """Records of the training split.

    Raises:
        DataError: there are none, they are of one class, or a record of the dataset is too short for a token.
    """
    records = dataset.indices("train")
    shortest, k = int(dataset.lengths.argmin()), build_tokenizer(tokenizer).k
    if not len(records):
        raise DataError("no labelled records to train on", hint="give labels: NAME=file.fa, class folders, --labels, --label-regex")
    if len(np.unique(dataset.label_ids[records])) < 2:
        raise DataError("the training split has one class only; telling classes apart needs two")
    if dataset.lengths[shortest] < k:
        name = dataset.records["id"].iloc[shortest]
        raise DataError(
            f"record {name!r} has {dataset.lengths[shortest]} bases, and a token has {k}",
            hint="a larger --min-length, or a smaller tokenizer.k",
        )
    return records


def _batches(dataset: Dataset, records: np.ndarray, recipe: Recipe) -> TrainingBatches:
    settings = recipe.training
    return TrainingBatches(
        dataset,
        records,
        build_tokenizer(recipe.tokenizer),
        settings.augment,
        strand=recipe.strand,
        max_tokens=recipe.model.max_tokens,
        token_budget=settings.token_budget,
        max_records=settings.max_records,
        seed=settings.seed,
    )


def _predicting(settings: TrainSettings) -> PredictSettings:
    return PredictSettings(token_budget=settings.token_budget)


def _read_split(scorer: Scorer, dataset: Dataset, indices: np.ndarray) -> dict[str, float]:
    figures = headline(dataset.label_ids[indices], split_probabilities(scorer, dataset, indices))
    return {"loss": figures["log_loss"], **{name: figures[name] for name in ("accuracy", "macro_f1")}}


def _announce(model: Classifier, dataset: Dataset, records: np.ndarray, training: Training) -> None:
    _log.info(
        "training %s parameters on %d records of %d classes, %s bases: %d steps on %s",
        f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        len(records),
        len(dataset.classes),
        f"{int(dataset.lengths[records].sum()):,}",
        training.steps,
        training.fabric.device,
    )


def _finish(training: Training, bundle: Bundle, dataset: Dataset, folder: Path, seconds: float) -> RunResult:
    """Test split, model and provenance, written by the first rank only."""
    metrics = None
    if len(dataset.indices("test")):
        metrics = evaluate(bundle, dataset, split="test", settings=_predicting(training.settings), seed=training.settings.seed)
    bundle = replace(bundle, provenance=summaries(training, dataset, metrics, seconds))
    provenance = describe_run(dataset) | bundle.provenance
    if training.fabric.is_global_zero:
        if metrics:
            write_metrics(metrics, folder / "evaluation")
        save_bundle(bundle, folder / "model", force=True)
        write_provenance(folder, provenance)
    return RunResult(bundle, metrics, provenance)
