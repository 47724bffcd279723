"""What a run consists of while it trains, and how it is put down in a checkpoint and taken up again."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from genomix.data.batches import TrainingBatches
from genomix.errors import DataError
from genomix.nn.classifier import Classifier
from genomix.nn.reconstruction import Reconstructor
from genomix.processes import Processes
from genomix.train import sharding
from genomix.train.checkpoint import load_newest, save_checkpoint
from genomix.train.memory import MemoryGuard
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
    """Validation loss of the weights to keep so far (see `choice.take`)."""
    best_mean: float = math.inf
    """Mean of their validation loss and the one before: with few validation records, one low loss among high ones is luck."""
    best_step: int = 0
    lowest: float = math.inf
    """Lowest such mean yet, of weights to keep or not."""
    last_loss: float | None = None
    """At the last validation."""
    last_losses: Tensor | None = None
    """Of each validation record then."""
    start_losses: Tensor | None = None
    """Of each validation record before the first update, where composition knows something already."""
    waited: int = 0
    """Validations since that mean fell noticeably, those left out at which the network had not yet learnt anything."""
    losses: float = 0.0
    """Sum of the training losses since the last validation."""
    counted: int = 0
    """How many these are."""
    first_loss: float | None = None
    """The mean training loss before the first validation."""
    validated: int = -1
    """The step of the last validation; -1 where there was none."""
    seconds: float = 0.0
    """That the run took before it was resumed."""


@dataclass(slots=True)
class Training:
    """What the loop works on."""

    fabric: Fabric
    processes: Processes
    """That share every update."""
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
    origin: dict[str, str]
    """The data and settings that a checkpoint belongs to, each by its name."""
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
    floor: float
    """Training loss of a network that knows everything."""
    fall: float
    """Share of the way there that the training loss has gone in a network that has learnt something."""
    since: float = field(default_factory=time.monotonic)
    """When this process began with the run."""

    @property
    def learning_rate(self) -> float:
        """Of the next update, without the embedding's factor."""
        return float(self.optimizer.param_groups[-1]["lr"])

    @property
    def seconds(self) -> float:
        """That the run has taken, without the time between a stop and what resumed it, and without what was lost with a process that was killed."""
        return self.progress.seconds + time.monotonic() - self.since

    @property
    def validation_due(self) -> bool:
        """Whether the validation split is to be read before the next update. At the start it is where composition knows something already."""
        step = self.progress.step
        if step == self.progress.validated:
            return False
        every = -(-self.steps // self.validations)
        return self.composition is not None if step == 0 else step % every == 0 or step == self.steps

    def kept(self) -> Any:
        """A network like `network`, whole in every process, with the weights to keep."""
        network = self.average.module
        network.load_state_dict(self.processes.from_first(lambda: self.best))
        return network

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds, in the first process; all must call this together, and in the others it is not complete."""
        return {
            "origin": self.origin,
            "processes": self.processes.world,
            "model": sharding.whole(self.model.state_dict(), keep=self.processes.is_first),
            "average": self.average.state_dict(),
            "optimizer": sharding.whole(self.optimizer.state_dict(), keep=self.processes.is_first),
            "schedule": self.schedule.state_dict(),
            "progress": asdict(self.progress) | {"seconds": self.seconds},
            "memory": self.guard.state(),
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        sharding.load_weights(self.model, state["model"])
        self.average.load_state_dict(state["average"])
        sharding.load_optimizer(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])
        self.guard.restore(state["memory"])
        self.best = state["best"]


def save(training: Training) -> None:
    """A checkpoint of where the run is, made by all processes together and written by the first."""
    state = training.state()
    if training.processes.is_first:
        save_checkpoint(training.checkpoints, training.progress.step, state)


def resume_from_checkpoint(training: Training) -> None:
    """Put the run where its newest checkpoint was, if there is one.

    The first process reads it for all: on a shared file system others may not see it yet, and all must go on from the same one.

    Raises:
        DataError: it is of other data or settings; the message names the first that differs.
    """
    state = training.processes.from_first(lambda: load_newest(training.checkpoints))
    if state is None:
        _log.info("no checkpoint in %s: starting from the beginning", training.checkpoints)
        return
    require_same_origin(state["origin"], training.origin, training.checkpoints)
    training.restore(state)
    _log.info("resuming after step %d of %d", training.progress.step, training.steps)
    if state["processes"] != training.processes.world:
        _log.warning(
            "the checkpoint was written with %d processes, and now there are %d: the same training, but for rounding",
            state["processes"],
            training.processes.world,
        )


def require_same_origin(written: Mapping[str, str], now: Mapping[str, str], checkpoints: Path) -> None:
    """Raises DataError, naming the first difference, where what was written belongs to other data or settings than there are now."""
    for name in (*now, *written):
        if now.get(name) != written.get(name):
            raise DataError(
                f"the checkpoint belongs to other data or settings: {name} is {now.get(name)}, and was {written.get(name)} when it was written",
                where=str(checkpoints),
                hint="train into another folder, or give the data and settings of run.toml",
            )
