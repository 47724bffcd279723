"""The training loop.

A step: a batch, its loss, the gradients, a check that they are finite, the update. Now and then the validation split is read, the best weights so far are
kept, and a checkpoint is written. Everything that decides what comes next is in `Progress` and in the checkpoint, and the random numbers of a step are
seeded from its number: so a run that was killed goes on at the next step and ends with the same weights as one that was not.
"""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from genomix.data.batches import Batch, TrainingBatches, made_for
from genomix.errors import DataError, Interrupted, SettingsError
from genomix.nn.classifier import Classifier
from genomix.nn.reconstruction import Reconstructor
from genomix.train.checkpoint import load_newest, save_checkpoint
from genomix.train.history import History
from genomix.train.memory import MemoryGuard
from genomix.train.settings import TrainSettings
from genomix.train.stopping import any_process, stop_requests

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """Where a run is."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    """Updates made so far."""
    best_loss: float = math.inf
    """Validation loss of the weights to keep so far, those whose `best_mean` is lowest."""
    best_mean: float = math.inf
    """Mean of their validation loss and the one before: with few validation records, one low loss among high ones is luck."""
    best_step: int = 0
    last_loss: float | None = None
    """At the last validation."""
    waited: int = 0
    """Validations since that mean fell noticeably, those left out at which the network had not yet learnt anything."""
    losses: float = 0.0
    """Sum of the training losses since the last validation."""
    counted: int = 0
    """How many these are."""
    first_loss: float | None = None
    """The mean training loss before the first validation."""


@dataclass(slots=True)
class Training:
    """What the loop works on."""

    fabric: Fabric
    network: Classifier | Reconstructor
    model: nn.Module
    """Gives the loss of an update: an `Update` of the network, set up by Fabric."""
    optimizer: Optimizer
    schedule: LambdaLR
    batches: TrainingBatches
    steps: int
    validations: int
    settings: TrainSettings
    checkpoints: Path
    fingerprint: str
    """Names the data and settings that a checkpoint belongs to."""
    start: dict[str, Any]
    """Of a run that starts from another model's weights: which, for its provenance."""
    progress: Progress
    average: AveragedModel
    """What is validated."""
    guard: MemoryGuard
    """Keeps updates within memory."""
    composition: Tensor | None
    """What the composition branch is to say of each record of the dataset in training, [record, class]; None leaves it to the branch."""
    best: dict[str, Tensor]
    """Weights to keep so far (see `Progress.best_mean`)."""

    @property
    def learning_rate(self) -> float:
        """Of the next update, without the embedding's factor."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def state(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": asdict(self.progress),
            "memory": self.guard.state(),
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])
        self.guard.restore(state["memory"])
        self.best = state["best"]


def fit(training: Training, validate: Callable[[], dict[str, float]] | None, history: History) -> None:
    """Train until the steps are done or validation stops improving; `training.best` then holds the weights to use.

    Args:
        validate: reads the validation split and returns its figures, `loss` among them; None where there is none, and the last weights are the best.

    Raises:
        Interrupted: a signal asked to stop; a checkpoint was written.
        SettingsError: the loss or a gradient is not finite; the step was not taken.
    """
    progress, settings = training.progress, training.settings
    every = max(1, training.steps // training.validations)
    with stop_requests() as stop_requested:
        if validate and progress.step == 0 and training.composition is not None:
            _validate(training, validate, history)  # what composition knows already is the first candidate
        for parts in _updates(training):
            started, rate = time.perf_counter(), training.learning_rate
            loss = _step(training, parts)
            progress.step += 1
            progress.losses, progress.counted = progress.losses + loss, progress.counted + 1
            training.average.update_parameters(training.network)
            seconds = time.perf_counter() - started
            history.step(
                progress.step,
                progress.epoch,
                loss=loss,
                learning_rate=rate,
                lengths=torch.cat([part.lengths for part in parts]),
                seconds=seconds,
            )
            if validate and (progress.step % every == 0 or progress.step == training.steps):
                _validate(training, validate, history)
            stopping = any_process(training.fabric, asked=stop_requested())
            if progress.step % settings.checkpoint_steps == 0 or stopping:
                _save(training)
            if stopping and progress.step < training.steps:
                raise Interrupted(
                    f"stopped after step {progress.step} of {training.steps}, state saved", hint="the same command with --resume goes on"
                )
    if progress.waited >= settings.patience:
        _log.info("no lower validation loss in %d validations: stopped at step %d", progress.waited, progress.step)
    if validate is None:
        training.best, progress.best_step = _weights(training.average.module), progress.step
    _save(training)


def resume_from_checkpoint(training: Training) -> None:
    """Put the run where its newest checkpoint was, if there is one; raises DataError for one of other data or settings."""
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


def _updates(training: Training) -> Iterator[list[Batch]]:
    """What each update sees, from where the run is to its end, epoch after epoch, keeping count of the place."""
    progress, fabric = training.progress, training.fabric

    def done() -> bool:
        return progress.step >= training.steps or progress.waited >= training.settings.patience

    while not done():
        epoch = training.batches.epoch(progress.epoch, start=progress.step_in_epoch, rank=fabric.global_rank, world=fabric.world_size)
        for parts in made_for(epoch, fabric.device):
            progress.step_in_epoch += 1
            yield [part.to(fabric.device) for part in parts]
            if done():
                return
        progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0


def _step(training: Training, parts: Sequence[Batch]) -> float:
    """One update; returns its loss."""
    training.model.train()
    step = training.progress.step + 1
    loss = training.guard.run(lambda each: _gradients(training, each), parts, step=step)
    norm = training.fabric.clip_gradients(training.model, training.optimizer, max_norm=training.settings.clip, error_if_nonfinite=False)
    assert norm is not None, "only a sharded strategy gives none"
    _require_finite(loss, float(norm), step)
    training.optimizer.step()
    training.schedule.step()
    return loss


def _gradients(training: Training, parts: Sequence[Batch]) -> float:
    """The loss of an update, its gradients left in the parameters; a second call gives the same."""
    fabric = training.fabric
    torch.manual_seed((training.settings.seed << 32) + training.progress.step * fabric.world_size + fabric.global_rank)
    training.optimizer.zero_grad(set_to_none=True)
    known = None if training.composition is None else training.composition[[record for part in parts for record in part.records]]
    loss = training.model(parts, known)
    fabric.backward(loss)
    return float(loss.detach())


def _require_finite(loss: float, norm: float, step: int) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
    raise _diverged(f"step {step}: {what}; the update was not made")


def _diverged(message: str) -> SettingsError:
    return SettingsError(
        message, hint="try a lower train.learning_rate, or train.precision fp32; --resume goes on from the last checkpoint"
    )


def _validate(training: Training, validate: Callable[[], dict[str, float]], history: History) -> None:
    progress = training.progress
    try:
        figures = validate()
    except FloatingPointError as error:
        raise _diverged(f"after step {progress.step}: {error}") from error
    # Processes have losses, and averages of the head's norm, of their own: the first one decides for all, or one would stop and the others wait for it.
    figures, learnt = training.fabric.broadcast((figures, _take_mean_loss(progress)))
    loss = figures["loss"]
    mean = loss if progress.last_loss is None else (progress.last_loss + loss) / 2
    progress.last_loss, gain = loss, progress.best_mean - mean
    better = gain > 0
    if better:
        progress.best_loss, progress.best_mean, progress.best_step = loss, mean, progress.step
        training.best = _weights(training.average.module)
    if gain > _NOTICEABLE:
        progress.waited = 0
    elif learnt:
        progress.waited += 1
    history.validation(progress.step, progress.epoch, figures, best=better)


_NOTICEABLE = 1e-4
"""Nats of validation loss; a network that has all records right could go on gaining less for ever."""
_LEARNT = 0.8
"""Fraction of its first value to which the training loss has fallen in a network that has learnt something."""


def _take_mean_loss(progress: Progress) -> bool:
    """Close the account of training losses since the last validation; True where they have fallen far enough to say that something was learnt.

    Only then does a validation loss that does not fall tell of learning by heart: where order matters, nothing falls for hundreds of steps, then all does.
    """
    if not progress.counted:
        return False
    mean = progress.losses / progress.counted
    progress.losses, progress.counted = 0.0, 0
    if progress.first_loss is None:
        progress.first_loss = mean
    return mean < _LEARNT * progress.first_loss


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: copy.deepcopy(tensor.detach().cpu()) for name, tensor in model.state_dict().items()}


def _save(training: Training) -> None:
    if training.fabric.is_global_zero:
        save_checkpoint(training.checkpoints, training.progress.step, training.state())
