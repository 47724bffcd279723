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

from genomix.bundle import Bundle, new_model, require_device, save_bundle
from genomix.data.augment import Strand
from genomix.data.balance import class_factors
from genomix.data.batches import TrainingBatches
from genomix.data.store import Dataset
from genomix.errors import DataError, SettingsError
from genomix.evaluate import evaluate, split_probabilities, write_metrics
from genomix.metrics import headline
from genomix.metrics.calibrated import calibrated_log_loss
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.predict import PredictSettings, Scorer
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train.average import AveragedWeights
from genomix.train.checkpoint import load_newest
from genomix.train.composition import fit_composition
from genomix.train.history import History
from genomix.train.loop import Progress, Training, Update, fit
from genomix.train.optim import build_optimizer, build_schedule
from genomix.train.provenance import describe_run, summaries, write_provenance
from genomix.train.settings import TrainSettings
from genomix.train.start import LONGEST_SPECTRAL_K, start_embedding

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
    recipe = _decide(dataset, records, tokenizer, model, settings)
    training, bundle = _prepare(fabric or launch(settings), dataset, records, recipe, folder)
    if resume:
        _resume(training)
    validation = dataset.indices("validation")
    scorer = Scorer(
        training.average.network,
        bundle.tokenizer,
        max_tokens=recipe.model.max_tokens,
        strand=recipe.strand,
        circular=dataset.circular,
        settings=_predicting(settings),
    )
    weights = class_factors(dataset.label_ids[records], len(dataset.classes), settings.balance_limit)
    if settings.balance == "none":
        weights = np.ones(len(weights))
    validate = (lambda: _read_split(scorer, dataset, validation, weights)) if len(validation) else None
    if training.fabric.is_global_zero:
        write_provenance(folder, describe_run(dataset))
    with History(
        folder / "metrics.jsonl", step=training.progress.step, steps=training.steps, writes=training.fabric.is_global_zero
    ) as history:
        fit(training, validate, history)
    bundle.model.load_state_dict(training.best)
    return _finish(training, bundle, dataset, folder, time.monotonic() - started)


def launch(settings: TrainSettings) -> Fabric:
    """The device, precision and processes of a run. With several devices this starts the other processes, each of which runs the command from its top."""
    require_device(settings.device)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=settings.device,
        devices=settings.devices,
        # Short records leave the last factors out, so a process may have parameters without a gradient.
        strategy="ddp_find_unused_parameters_true" if settings.devices > 1 else "auto",
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[settings.precision],  # type: ignore[arg-type]  # Fabric spells its literals out
    )
    fabric.launch()
    if not fabric.is_global_zero:
        logging.getLogger("genomix").setLevel(logging.WARNING)  # what the first process says need not be said again
    return fabric


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


def step_count(settings: TrainSettings, updates_per_epoch: int, tokens_per_update: float) -> int:
    """Updates of the whole run."""
    if settings.steps:
        return settings.steps
    most = min(settings.most_steps, settings.epochs * updates_per_epoch, int(settings.most_tokens / tokens_per_update))
    return max(settings.fewest_steps, most)


def validation_count(settings: TrainSettings, training_tokens: float, validation_tokens: float) -> int:
    """How often the validation split is read: less often where reading it costs more than training, but enough to choose from."""
    return int(min(settings.validations, max(settings.validations / 2, training_tokens / max(1.0, validation_tokens))))


@dataclass(frozen=True, slots=True)
class _Recipe:
    """The settings that hold for this dataset: the network's size and the strand are decided."""

    tokenizer: TokenizerSettings
    model: ModelSettings
    training: TrainSettings
    strand: Strand

    def fingerprint(self, dataset: Dataset) -> str:
        """Names what must be equal for a checkpoint to be continued."""
        parts = [dataset.digest, self.strand, *(each.model_dump_json() for each in (self.tokenizer, self.model, self.training))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _decide(dataset: Dataset, records: np.ndarray, tokenizer: TokenizerSettings, model: ModelSettings, settings: TrainSettings) -> _Recipe:
    longest = int(dataset.lengths[records].max())
    model = _fitting_branches(model, tokenizer)
    model = resized(model, longest, circular=dataset.circular, tokenizer=tokenizer)
    return _Recipe(tokenizer, model, settings, dataset.strand if settings.strand == "auto" else settings.strand)


def _fitting_branches(model: ModelSettings, tokenizer: TokenizerSettings) -> ModelSettings:
    """Without the branches that these tokens can't serve: codons need letters in order, one after the other, and composition a table of all k-mers."""
    plain = tokenizer.kind == "kmer" and not tokenizer.canonical and tokenizer.stride == 1
    off: dict[str, Any] = {}
    if model.codon and not (plain and tokenizer.k >= 3):
        off["codon"] = 0
    if model.composition and not (plain and tokenizer.k <= LONGEST_SPECTRAL_K):
        off["composition"] = False
    if off:
        _log.warning(
            "these tokens serve no %s branch: left out", " and no ".join("reading-frame" if name == "codon" else name for name in off)
        )
    return model.model_copy(update=off)


def _prepare(fabric: Fabric, dataset: Dataset, records: np.ndarray, recipe: _Recipe, folder: Path) -> tuple[Training, Bundle]:
    settings = recipe.training
    torch.manual_seed(settings.seed)
    model = new_model(recipe.model, recipe.tokenizer, len(dataset.classes))
    if settings.embedding_start == "spectral" and not start_embedding(
        model, dataset, records, recipe.tokenizer, strand=recipe.strand, seed=settings.seed
    ):
        _log.warning("embedding_start is spectral, which needs tokenizer.kind kmer, not canonical, of k up to 7: starting at random")
    factors = class_factors(dataset.label_ids[records], len(dataset.classes), settings.balance_limit)
    counted = np.ones(len(factors)) if settings.balance == "none" else factors
    composition = _composition(model, dataset, records, recipe, counted)
    batches = _batches(dataset, records, recipe, factors if settings.balance == "sampling" else None)
    per_epoch = batches.steps() // fabric.world_size
    if per_epoch == 0:
        raise SettingsError(
            f"an epoch has {batches.steps()} updates, too few for {fabric.world_size} processes",
            hint="fewer train.devices, or a smaller train.max_records",
        )
    steps = step_count(settings, per_epoch, batches.tokens_per_update)
    held_out = float(dataset.lengths[dataset.indices("validation")].sum()) * (2 if recipe.strand == "both" else 1)
    weights = torch.from_numpy(factors).float() if settings.balance == "weights" else None
    wrapped, optimizer = fabric.setup(Update(model), build_optimizer(model, settings))
    training = Training(
        fabric=fabric,
        network=model,
        model=wrapped,
        optimizer=optimizer,
        schedule=build_schedule(optimizer, steps, settings.warmup),
        batches=batches,
        loss=nn.CrossEntropyLoss(weight=weights, label_smoothing=settings.label_smoothing, reduction="sum").to(fabric.device),
        steps=steps,
        validations=validation_count(settings, steps * batches.tokens_per_update, held_out),
        settings=settings,
        checkpoints=folder / "checkpoints",
        fingerprint=recipe.fingerprint(dataset),
        progress=Progress(),
        average=AveragedWeights(model, memory=settings.average),
        composition=None if composition is None else composition.to(fabric.device),
        best={},
    )
    _announce(model, dataset, records, training)
    return training, Bundle(model, recipe.tokenizer, dataset.classes, recipe.strand, dataset.circular)


def _composition(model: Classifier, dataset: Dataset, records: np.ndarray, recipe: _Recipe, weights: np.ndarray) -> torch.Tensor | None:
    if model.composition is None:
        return None
    return fit_composition(model, dataset, records, recipe.tokenizer.k, strand=recipe.strand, seed=recipe.training.seed, weights=weights)


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


def _batches(dataset: Dataset, records: np.ndarray, recipe: _Recipe, factors: np.ndarray | None) -> TrainingBatches:
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
        factors=factors,
    )


def _predicting(settings: TrainSettings) -> PredictSettings:
    return PredictSettings(token_budget=settings.token_budget)


def _read_split(scorer: Scorer, dataset: Dataset, indices: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Figures of a split; the loss, after calibration, weighs records as training does."""
    labels, probabilities = dataset.label_ids[indices], split_probabilities(scorer, dataset, indices)
    figures = headline(labels, probabilities)
    return {
        "loss": calibrated_log_loss(labels, probabilities, weights[labels]),
        **{name: figures[name] for name in ("accuracy", "macro_f1")},
    }


def _resume(training: Training) -> None:
    state = load_newest(training.checkpoints)
    if state is None:
        _log.info("no checkpoint in %s: starting from the beginning", training.checkpoints)
        return
    if state["fingerprint"] != training.fingerprint:
        raise DataError(
            "the checkpoint belongs to other data or settings",
            where=str(training.checkpoints),
            hint="train into another folder, or give the data and settings of run.toml",
        )
    training.restore(state)
    _log.info("resuming after step %d of %d", training.progress.step, training.steps)


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
