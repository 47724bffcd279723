"""The training loop.

A step: a batch, its loss, the gradients, a check that they are finite, the update. Now and then the validation split is read, the best weights so far are
kept, and a checkpoint is written. Everything that decides what comes next is in `Progress` and in the checkpoint, and the random numbers of a step are
seeded from its number: so a run that was killed goes on at the next step and ends with the same weights as one that was not.
"""

import copy
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from genomix.data.batches import Batch, TrainingBatches
from genomix.errors import DataError, Interrupted, SettingsError
from genomix.train.checkpoint import load_newest, save_checkpoint
from genomix.train.history import History
from genomix.train.settings import TrainSettings

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """Where a run is."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    """Updates made so far."""
    best_loss: float = math.inf
    """Lowest validation loss so far."""
    best_step: int = 0
    waited: int = 0
    """Validations since then."""


@dataclass(slots=True)
class Training:
    """What the loop works on."""

    fabric: Fabric
    model: nn.Module
    optimizer: Optimizer
    schedule: LambdaLR
    batches: TrainingBatches
    loss: nn.Module
    steps: int
    settings: TrainSettings
    checkpoints: Path
    fingerprint: str
    """Names the data and settings that a checkpoint belongs to."""
    start: dict[str, Any]
    """Of a run that starts from another model's weights: which, for its provenance."""
    progress: Progress
    best: dict[str, Tensor]
    """Weights with the lowest validation loss."""

    @property
    def learning_rate(self) -> float:
        """Of the next update, without the embedding's factor."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def state(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": asdict(self.progress),
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])
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
    every = max(1, training.steps // settings.validations)
    with _stop_requests() as stop_requested:
        for batch in _batches(training):
            started, rate = time.perf_counter(), training.learning_rate
            loss = _step(training, batch)
            progress.step += 1
            seconds = time.perf_counter() - started
            history.step(progress.step, progress.epoch, loss=loss, learning_rate=rate, lengths=batch.lengths, seconds=seconds)
            if validate and (progress.step % every == 0 or progress.step == training.steps):
                _validate(training, validate, history)
            stopping = _any_process(training.fabric, asked=stop_requested())
            if progress.step % settings.checkpoint_steps == 0 or stopping:
                _save(training)
            if stopping and progress.step < training.steps:
                raise Interrupted(
                    f"stopped after step {progress.step} of {training.steps}, state saved", hint="the same command with --resume goes on"
                )
    if progress.waited >= settings.patience:
        _log.info("no lower validation loss in %d validations: stopped at step %d", progress.waited, progress.step)
    if validate is None:
        training.best, progress.best_step = _weights(training.model), progress.step
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


def _batches(training: Training) -> Iterator[Batch]:
    """Batches from where the run is to its end, epoch after epoch, keeping count of the place."""
    progress, fabric = training.progress, training.fabric

    def done() -> bool:
        return progress.step >= training.steps or progress.waited >= training.settings.patience

    while not done():
        for batch in training.batches.epoch(progress.epoch, start=progress.step_in_epoch, rank=fabric.global_rank, world=fabric.world_size):
            progress.step_in_epoch += 1
            yield batch.to(fabric.device)
            if done():
                return
        progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0


def _step(training: Training, batch: Batch) -> float:
    """One update; returns the loss."""
    fabric, progress = training.fabric, training.progress
    training.model.train()
    torch.manual_seed((training.settings.seed << 32) + progress.step * fabric.world_size + fabric.global_rank)
    training.optimizer.zero_grad(set_to_none=True)
    loss = training.loss(training.model(batch.tokens, batch.lengths, batch.circular), batch.labels)
    fabric.backward(loss)
    norm = fabric.clip_gradients(training.model, training.optimizer, max_norm=training.settings.clip, error_if_nonfinite=False)
    assert norm is not None, "only a sharded strategy gives none"
    _require_finite(float(loss.detach()), float(norm), progress.step + 1)
    training.optimizer.step()
    training.schedule.step()
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


def _any_process(fabric: Fabric, *, asked: bool) -> bool:
    """Whether any process was asked to stop: they all stop at the same step, or the others would wait for it for ever."""
    if fabric.world_size == 1:
        return asked
    votes = fabric.all_gather(torch.tensor(float(asked), device=fabric.device))
    assert isinstance(votes, Tensor), "one tensor in, one out"
    return bool(votes.any())


def _validate(training: Training, validate: Callable[[], dict[str, float]], history: History) -> None:
    progress = training.progress
    training.model.eval()
    try:
        figures = validate()
    except FloatingPointError as error:
        raise _diverged(f"after step {progress.step}: {error}") from error
    better = figures["loss"] < progress.best_loss
    if better:
        progress.best_loss, progress.best_step, progress.waited = figures["loss"], progress.step, 0
        training.best = _weights(training.model)
    else:
        progress.waited += 1
    history.validation(progress.step, progress.epoch, figures, best=better)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: copy.deepcopy(tensor.detach().cpu()) for name, tensor in model.state_dict().items()}


def _save(training: Training) -> None:
    if training.fabric.is_global_zero:
        save_checkpoint(training.checkpoints, training.progress.step, training.state())


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """While the block runs SIGTERM and SIGUSR1 (a scheduler's warning) only raise a flag, to be looked at between two steps."""
    asked = []

    def remember(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
