"""The processes that share a run's work: each knows its number, and what one has, all can be given.

Who starts them (torchrun, srun, `train.devices`) is `genomix.train.devices`' business; here is what the work itself needs. A process that is alone is the
simplest case of all, and costs nothing.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from genomix.errors import ProcessLost, UsageError

Value = TypeVar("Value")

_LOST = ("closed by peer", "Connection reset", "Broken pipe", "connectFullMesh failed", "Socket Timeout", "failed to recv, got 0 bytes")
"""In what gloo says when a process that it speaks with has ended."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of its run.

    Attributes:
        rank: its number, from 0.
        world: how many there are; more than one must have joined a `torch.distributed` group.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """The first process is the one that writes files and speaks."""
        return self.rank == 0

    def gather(self, value: Value) -> list[Value]:
        """What each process has, in the order of their numbers; all of them must call this.

        Raises:
            ProcessLost: one of them has ended.
        """
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.world
        with noticing_lost_processes():
            dist.all_gather_object(values, value)
        return values

    def from_first(self, call: Callable[[], Value]) -> Value:
        """What the call gives in the first process, while the others wait; its error is raised in all of them."""
        if self.world == 1:
            return call()
        import torch.distributed as dist

        box: list[Any] = [_attempt(call) if self.is_first else None]
        with noticing_lost_processes():
            dist.broadcast_object_list(box, src=0)
        return _opened(box[0])

    def share(self, call: Callable[[], Value]) -> list[Value]:
        """What the call gives in each process; an error of one is raised in all, or the others would wait for it for ever."""
        return [_opened(each) for each in self.gather(_attempt(call))] if self.world > 1 else [call()]

    def wait(self) -> None:
        """Until all processes are here."""
        self.gather(None)


def _attempt(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - whatever it is, the other processes must hear of it
        return None, error


def _opened(outcome: tuple[Any, Exception | None]) -> Any:
    value, error = outcome
    if error is not None:
        raise error
    return value


@contextmanager
def noticing_lost_processes() -> Iterator[None]:
    """While the block runs, an exchange that breaks because another process ended is a `ProcessLost`: not the fault, but what came of it."""
    try:
        yield
    except RuntimeError as error:
        if not any(words.lower() in str(error).lower() for words in _LOST):
            raise
        raise ProcessLost(
            "another process of this run ended; it says why, or the system killed it", hint="--resume goes on from the last checkpoint"
        ) from error


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launcher told this process of itself.

    Attributes:
        by: `torchrun` or `srun`.
        processes: this one among all that were launched.
        per_node: processes on each node; None where nodes have different numbers of them.
        local: this one's number on its node.
    """

    by: str
    processes: Processes
    per_node: int | None
    local: int


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """What started this process together with others; None where nothing did.

    A batch script of SLURM's sees the number of tasks too, but is one process: only a step (`srun`) of several tasks counts.
    """
    if {"RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"} <= environment.keys():
        world, local = int(environment["WORLD_SIZE"]), int(environment["LOCAL_WORLD_SIZE"])
        processes = Processes(int(environment["RANK"]), world)
        return Launched("torchrun", processes, local if world % local == 0 else None, int(environment.get("LOCAL_RANK", "0")))
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks == 1 or "SLURM_PROCID" not in environment:
        return None
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", "1"))
    processes = Processes(int(environment["SLURM_PROCID"]), tasks)
    return Launched("srun", processes, tasks // nodes if tasks % nodes == 0 else None, int(environment.get("SLURM_LOCALID", "0")))


def require_alone(command: str, hint: str) -> None:
    """Raises UsageError where a launcher started several processes of a command that does not share its work out: all would write the same."""
    if (others := launched()) is not None:
        raise UsageError(f"{command} is one process, and {others.by} started several", hint=hint)


def leave(code: int) -> None:
    """End a process that belongs to a group, with this exit code; one that belongs to none goes on.

    Not by way of the interpreter's own end: a thread of gloo's that lets go of its last tensor while that is under way aborts the process, whose work
    was done (pytorch/pytorch#190489). And where the code tells of an error, another process may wait in an exchange that will never end: it isn't waited for.
    """
    dist = sys.modules.get("torch.distributed")
    if dist is None or not dist.is_available() or not dist.is_initialized():
        return
    if code == 0:
        dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
