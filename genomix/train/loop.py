"""The training loop.

A step: a batch, its loss, the gradients, a check that they are finite, the update. Now and then the validation split is read, the best weights so far are
kept, and a checkpoint is written. Everything that decides what comes next is in `Progress` and in the checkpoint, and the random numbers of a step are
seeded from its number: so a run that was killed goes on at the next step and ends with the same weights as one that was not. Several processes share the
records of each update; the loss, its gradients and so every decision are the same in all of them.
"""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn

from genomix.data.batches import Batch, made_for
from genomix.errors import Interrupted, SettingsError
from genomix.processes import noticing_lost_processes
from genomix.train import sharding
from genomix.train.choice import Reading, take
from genomix.train.history import History
from genomix.train.state import Training, save
from genomix.train.stopping import StopRequested, StopRequests, stop_requests, told

_log = logging.getLogger(__name__)


def fit(training: Training, validate: Callable[[], Reading] | None, history: History) -> None:
    """Train until the steps are done or validation stops improving; `training.best` then holds the weights to use.

    Args:
        validate: reads the validation split; None where there is none, and the last weights are the best.

    Raises:
        Interrupted: a signal asked one of the processes to stop; a checkpoint was written.
        OutputError: the run folder was removed or replaced.
        SettingsError: the loss or a gradient is not finite; the step was not taken.
        ProcessLost: another process ended.
    """
    progress, settings = training.progress, training.settings
    with stop_requests() as stop_requested, noticing_lost_processes():
        # What composition knows already is the first candidate; a run that was stopped where validation was due has it now.
        if _validate_if_due(training, validate, history, stop_requested):
            _stop(training, history)
        for parts in _updates(training):
            started, rate = time.perf_counter(), training.learning_rate
            loss = _step(training, parts)
            progress.step += 1
            progress.losses, progress.counted = progress.losses + loss, progress.counted + 1
            sharding.bring_together(training.model)
            training.average.update_parameters(training.network)
            asked, tokens = stop_requested(), sum(int(part.lengths.sum()) for part in parts)
            stopping, tokens = told(training.processes, training.fabric.device, asked=asked, tokens=tokens)
            speed = tokens / (time.perf_counter() - started)
            history.step(progress.step, progress.epoch, loss=loss, learning_rate=rate, speed=speed)
            if stopping or _validate_if_due(training, validate, history, stop_requested):
                _stop(training, history)
            if progress.step % settings.checkpoint_steps == 0:
                _save(training, history)
        if progress.waited >= settings.patience and progress.step < training.steps:
            _log.info("no lower validation loss in %d validations: stopped at step %d", progress.waited, progress.step)
        if validate is not None and progress.step and progress.best_step == 0:
            start = ", a regression on k-mer frequencies" if training.composition is not None else ""
            _log.warning(
                "no update lowered the validation loss beyond chance: the weights kept are those that training began with%s", start
            )
        if validate is None:
            training.best, progress.best_step = _weights(training.average.module), progress.step
        _save(training, history)
        if told(training.processes, training.fabric.device, asked=stop_requested(), tokens=0)[0]:
            _stop(training, history, saved=True)


def _save(training: Training, history: History) -> None:
    training.processes.from_first(history.require_in_place)
    save(training)


def _stop(training: Training, history: History, *, saved: bool = False) -> NoReturn:
    step = training.progress.step
    if step and not saved:
        _save(training, history)
    training.processes.wait()  # a launcher ends the others when the first one leaves, and that could be in the middle of the checkpoint
    where = (
        "before the first step" if step == 0 else f"after {'the last step' if saved else f'step {step} of {training.steps}'}, state saved"
    )
    raise Interrupted(f"stopped {where}", hint="the same command with --resume goes on")


def _updates(training: Training) -> Iterator[list[Batch]]:
    """What each update sees, from where the run is to its end, epoch after epoch, keeping count of the place."""
    progress, processes = training.progress, training.processes

    def done() -> bool:
        return progress.step >= training.steps or progress.waited >= training.settings.patience

    while not done():
        epoch = training.batches.epoch(progress.epoch, start=progress.step_in_epoch, rank=processes.rank, world=processes.world)
        for parts in made_for(epoch, training.fabric.device):
            progress.step_in_epoch += 1
            yield [part.to(training.fabric.device) for part in parts]
            if done():
                return
        progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0


def _step(training: Training, parts: Sequence[Batch]) -> float:
    """One update; returns its loss."""
    training.model.train()
    step = training.progress.step + 1
    loss = training.guard.run(lambda each: _gradients(training, each), parts, step=step)
    norm = training.fabric.clip_gradients(training.model, training.optimizer, max_norm=training.settings.clip, error_if_nonfinite=False)
    assert norm is not None, "only clipping by value gives none"
    _require_finite(loss, float(norm), step)
    training.optimizer.step()
    training.schedule.step()
    return loss


def _gradients(training: Training, parts: Sequence[Batch]) -> float:
    """The loss of an update, its gradients left in the parameters; a second call gives the same.

    The head's random numbers are the same in all processes, which do it for all records; the body's are not, as each has records of its own.
    """
    head = (training.settings.seed << 32) + training.progress.step
    torch.manual_seed(head + (training.processes.rank + 1) * _BODY)
    training.optimizer.zero_grad(set_to_none=True)
    known = None if training.composition is None else training.composition[[record for part in parts for record in part.records]]
    loss = training.model(parts, known, head)
    sharding.backward(training.fabric, training.model, loss)
    return float(loss.detach())


_BODY = 1 << 31
"""Sets the random numbers of a process's body apart from the head's, and from those of other processes."""


def _require_finite(loss: float, norm: float, step: int) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
    raise _diverged(f"step {step}: {what}; the update was not made")


def _diverged(message: str) -> SettingsError:
    return SettingsError(message, hint="train into another folder with a lower train.learning_rate, or with train.precision fp32")


def _validate_if_due(training: Training, validate: Callable[[], Reading] | None, history: History, stop_requested: StopRequests) -> bool:
    """Whether a process was asked to stop meanwhile. A validation that is broken off leaves everything as it was: it is due again."""
    if validate is None or not training.validation_due:
        return False
    if training.processes.world > 1:  # none may leave the others alone with it
        _validate(training, validate, history)
        return told(training.processes, training.fabric.device, asked=stop_requested(), tokens=0)[0]

    def read() -> Reading:
        with stop_requested.heeded_at_once():
            return validate()

    try:
        _validate(training, read, history)
    except StopRequested:
        return True
    return stop_requested()


def _validate(training: Training, validate: Callable[[], Reading], history: History) -> None:
    progress = training.progress
    try:
        reading = validate()
    except FloatingPointError as error:
        raise _diverged(f"after step {progress.step}: {error}") from error
    learnt = _take_mean_loss(training)
    progress.validated = progress.step
    # Processors of different makes round differently: the first process decides for all, or one would stop and the others wait for it.
    reading, learnt = training.processes.from_first(lambda: (reading, learnt))
    verdict = take(progress, reading)
    if verdict.best:
        training.best = _weights(training.average.module)
    if verdict.lower:
        progress.waited = 0
    elif learnt:
        progress.waited += 1
    beyond = {} if verdict.beyond_start is None else {"beyond_start": round(verdict.beyond_start, 3)}
    history.validation(progress.step, progress.epoch, reading.figures | beyond, best=verdict.best)


def _take_mean_loss(training: Training) -> bool:
    """Close the account of training losses since the last validation; True where they have fallen far enough to say that something was learnt.

    Only then does a validation loss that does not fall tell of learning by heart: where order matters, nothing falls for hundreds of steps, then all does.
    """
    progress = training.progress
    if not progress.counted:
        return False
    mean = progress.losses / progress.counted
    progress.losses, progress.counted = 0.0, 0
    if progress.first_loss is None:
        progress.first_loss = mean
    return mean < progress.first_loss - training.fall * (progress.first_loss - training.floor)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: copy.deepcopy(tensor.detach().cpu()) for name, tensor in model.state_dict().items()}
