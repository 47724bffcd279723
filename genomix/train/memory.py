"""How an update is kept within memory.

Records meet only in the head, whose batch norm must see them together. So an update's parts are not done with one after the other: the graphs of all are kept
until the backward pass, or, where that is too much, only what goes into each stage of the network, from which the backward pass computes a part's activations
again, part after part. (Records of pretraining do not meet, and what goes into its head is kept likewise.) Then memory is that of one part, which the
token budget bounds, and the gradients are the same.

What only reads records, as pretraining's validation does, goes on with smaller parts where memory runs out.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from genomix.data.batches import Batch, TrainingBatches, divided
from genomix.errors import OutOfMemory, first_line, is_out_of_memory
from genomix.nn.classifier import Classifier
from genomix.nn.reconstruction import Reconstructor
from genomix.planning import SHARE, Costs, choose, free_memory, largest_update, measured_costs, return_freed_memory, shortage
from genomix.processes import Processes, launched
from genomix.train.masked import MaskedBatches
from genomix.train.settings import TrainSettings

_log = logging.getLogger(__name__)

Value = TypeVar("Value")


@dataclass(slots=True)
class MemoryGuard:
    """Runs updates so that they fit: activations are computed again where the plan says so, and where memory runs out all the same, parts become smaller.

    Attributes:
        classifier: whose stages can be computed again.
        batches: whose token budget is lowered.
        costs: the plan; None where the machine does not tell what memory it has.
        memory: bytes that updates may take.
        recompute: whether every update computes its activations again from now on.
        processes: that share an update.
    """

    classifier: Classifier
    batches: TrainingBatches
    settings: TrainSettings
    device: torch.device
    costs: Costs | None
    memory: float
    recompute: bool
    processes: Processes

    def state(self) -> dict[str, Any]:
        """What a run that goes on must know, so that its parts are the same."""
        return {"token_budget": self.batches.token_budget, "recompute": self.recompute, "decided_for": self._decided_for()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up these decisions, unless they were made for other wishes, another kind of device or another number of processes."""
        if state["decided_for"] == self._decided_for():
            self.batches.token_budget, self.recompute = state["token_budget"], state["recompute"]

    def _decided_for(self) -> list[Any]:
        return [self.settings.token_budget, self.settings.recompute, self.device.type, self.processes.world]

    def run(self, gradients: Callable[[Sequence[Batch]], float], parts: Sequence[Batch], *, step: int) -> float:
        """What `gradients` gives for these parts, or for the same records in smaller ones.

        Args:
            gradients: computes the loss of an update, leaves the gradients in the parameters, and can be called again.
            step: of the update, for messages.

        Raises:
            OutOfMemory: one record does not fit; or, with several processes, which can't agree to try again, this one ran out.
        """
        running = [(buffer, buffer.clone()) for buffer in _running_figures(self.classifier)]
        while True:
            self._set_recompute(again=self.recompute or self._too_much(parts))
            try:
                return gradients(parts)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                said = first_line(error)
            # Only here, where the error is gone and with it the graph that its traceback held, is the memory free again.
            for buffer, before in running:
                buffer.copy_(before)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            parts = self._smaller(parts, step, said)

    def _set_recompute(self, *, again: bool) -> None:
        if self.device.type == "cpu" and again != self.classifier.recompute:
            return_freed_memory(sooner=again)
        self.classifier.recompute = again

    def _too_much(self, parts: Sequence[Batch]) -> bool:
        if self.settings.recompute != "auto" or self.costs is None or not parts:
            return self.settings.recompute == "always"
        return self.costs.update([(len(part.records), part.tokens.shape[1]) for part in parts], "plain") > self.memory

    def _smaller(self, parts: Sequence[Batch], step: int, said: str) -> list[Batch]:
        """The same records in parts of half as many tokens, to be computed again; raises OutOfMemory where nothing is left to do."""
        rank, world = self.processes.rank, self.processes.world
        if world > 1 or self.settings.recompute == "never":
            who = f"process {rank + 1} of {world}" if world > 1 else "training"
            raise OutOfMemory(
                f"{who} ran out of memory in step {step} ({said})",
                hint="--resume with --set train.recompute=always, or with a lower train.token_budget, goes on from the last checkpoint",
            )
        largest = max(parts, key=lambda part: part.tokens.numel())
        alone = len(largest.records) == 1
        if alone and self.classifier.recompute:
            fits = None if self.costs is None else self.costs.longest(free_memory(self.device) or 0, "recomputed")
            raise shortage(f"step {step}", largest.tokens.shape[1], said, fits=fits)
        self.recompute = True
        before = self.batches.token_budget
        if not alone:
            self.batches.token_budget = min(before, largest.tokens.numel()) // 2
        now = f"a token budget of {self.batches.token_budget:,} (before: {before:,})"
        how = "activations computed again in the backward pass" + ("" if alone else f", {now}")
        _log.warning("step %d ran out of memory (%s): it is tried again, with %s", step, said, how)
        return [piece for part in parts for piece in divided(part, self.batches.token_budget)]


def read_in_fitting_parts(read: Callable[[Batch], Value], part: Batch, batches: TrainingBatches) -> list[Value]:
    """What `read` gives for a part of an epoch of these batches, or for the same records in smaller parts where memory runs out.

    It must not exchange anything with other processes. Then the batches' token budget is halved for what follows.

    Raises:
        OutOfMemory: one record does not fit.
    """
    waiting, found = divided(part, batches.token_budget), []  # the budget may have been halved since the part was made
    while waiting:
        part, *waiting = waiting
        try:
            found.append(read(part))
            continue
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            said = first_line(error)
        if len(part.records) == 1:
            raise shortage("validation", part.tokens.shape[1], said, fits=None)
        before, batches.token_budget = batches.token_budget, min(batches.token_budget, part.tokens.numel()) // 2
        _log.warning("out of memory (%s): token budget of validation %s, %s now", said, f"{before:,}", f"{batches.token_budget:,}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        waiting = [piece for each in (part, *waiting) for piece in divided(each, batches.token_budget)]
    return found


def guard_memory(
    fabric: Fabric, processes: Processes, network: Classifier | Reconstructor, batches: TrainingBatches, settings: TrainSettings
) -> MemoryGuard:
    """The guard of a run that is about to begin; the batches' token budget is lowered where the largest update would not fit otherwise.

    All processes decide alike, by the one that has least.
    """
    classifier = network.network if isinstance(network, Reconstructor) else network
    device, found = fabric.device, launched()
    here = (found and found.per_node) or processes.world  # that share this machine's memory
    costs, memory = None, 0.0
    free = free_memory(device, processes=here)
    if free is not None:
        costs = measured_costs(
            classifier.settings,
            batches.tokenizer.vocabulary,
            device,
            settings.precision,
            ways=("plain", "recomputed"),
            hiding=batches.hiding if isinstance(batches, MaskedBatches) else None,
        )
        memory = SHARE * min(processes.gather(free))
        _lower_budget(costs, batches, settings, memory, records=-(-settings.max_records // processes.world))
    return MemoryGuard(
        classifier=classifier,
        batches=batches,
        settings=settings,
        device=device,
        costs=costs,
        memory=memory - costs.growth if costs else 0.0,
        recompute=settings.recompute == "always",
        processes=processes,
    )


def _lower_budget(costs: Costs, batches: TrainingBatches, settings: TrainSettings, memory: float, *, records: int) -> None:
    """For updates of which this process has at most so many records."""
    lengths = largest_update(batches.dataset.lengths[batches.indices], batches.max_bases, batches.tokenizer.stride, records)
    choice = choose(
        costs,
        lengths,
        token_budget=settings.token_budget,
        max_records=records,
        memory=memory,
        recompute=settings.recompute,
    )
    have = f"{memory / 2**30:.1f} GiB that may be taken"
    if not choice.fits:
        _log.warning("the longest records may not fit: an update of them takes %.1f GiB of the %s", choice.need / 2**30, have)
    if choice.token_budget < settings.token_budget:
        _log.info("token budget %s, lowered from %s to stay within the %s", f"{choice.token_budget:,}", f"{settings.token_budget:,}", have)
    batches.token_budget = choice.token_budget


def _running_figures(network: nn.Module) -> list[Tensor]:
    """What a forward pass changes, so that a second try must find it as the first one did."""
    return [buffer for module in network.modules() if isinstance(module, nn.BatchNorm1d) for buffer in module.buffers()]
