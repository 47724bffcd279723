"""An update's records brought together from the processes that share it.

Records meet in the head, whose batch norm must see them all. So every process gathers what the body made of each record and does the whole head itself, on the
same rows in the same order with the same random numbers: it has the loss of the whole update, and the head's gradient, as one process alone would. What a
process hands back to its own records is their rows of that gradient, multiplied by the number of processes because gradients are averaged over these.
"""

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from genomix.processes import Processes, noticing_lost_processes


def gathered(rows: Tensor, processes: Processes) -> Tensor:
    """The rows of all processes, one process after the other: [row, ...] -> [row of any process, ...]. They may have different numbers of rows, or none.

    Differentiable, for a loss that is the same in all processes and a gradient that is averaged over them.
    """
    return rows if processes.world == 1 else cast(Tensor, _Gathered.apply(rows, processes))


def summed(value: Tensor, processes: Processes) -> Tensor:
    """The sum over the processes, without a gradient."""
    total = value.detach().clone()
    if processes.world > 1:
        with noticing_lost_processes():
            dist.all_reduce(total)
    return total


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, processes: Processes) -> Tensor:
        with noticing_lost_processes():
            counts = _counts(rows, processes.world)
            every = _padded_rows(rows, processes.world, max(counts))
        ctx.start, ctx.count, ctx.world = sum(counts[: processes.rank]), len(rows), processes.world
        return torch.cat([part[:count] for part, count in zip(every, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][ctx.start : ctx.start + ctx.count] * ctx.world, None


def _counts(rows: Tensor, world: int) -> list[int]:
    own = torch.tensor([len(rows)], device=rows.device)
    every = [torch.empty_like(own) for _ in range(world)]
    dist.all_gather(every, own)
    return [int(each) for each in every]


def _padded_rows(rows: Tensor, world: int, most: int) -> list[Tensor]:
    """Collectives want the same shape from everybody."""
    own = rows.new_zeros(most, *rows.shape[1:])
    own[: len(rows)] = rows
    every = [torch.empty_like(own) for _ in range(world)]
    dist.all_gather(every, own)
    return every
