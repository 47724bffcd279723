"""A perceptron on every position, and a whole factor of a Paramixer, as one operation each: what their hidden layers would keep for the backward pass is by far
the largest part of a network's memory. Only the inputs are kept; the hidden layer and the link weights are computed again. Three implementations keep one
contract: `native` (C, float32 on a CPU), `triton.fused` (a GPU) and `chunked` (plain torch, everywhere, and for what the others can't do).
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genomix.nn.ops import chunked, native
from genomix.nn.ops.choice import chosen
from genomix.nn.ops.problem import Problem


class _Operation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, values: Tensor | None, *rest: Any) -> Tensor:
        *perceptron, lengths, circular, offsets, heads = rest
        problem = Problem(source, values, tuple(perceptron), lengths, circular, offsets, heads)
        ctx.save_for_backward(source, values, *perceptron, lengths, circular)
        ctx.offsets, ctx.heads, ctx.autocast = offsets, heads, _autocast(source.device.type)
        return _implementation(problem, backward=False).forward(problem)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        source, values, *perceptron, lengths, circular = ctx.saved_tensors
        problem = Problem(source, values, tuple(perceptron), lengths, circular, ctx.offsets, ctx.heads)
        with torch.autocast(source.device.type, **ctx.autocast):
            return *_implementation(problem, backward=True).backward(grad, problem), None, None, None, None


def factor(
    source: Float[Tensor, "batch input position"],
    values: Float[Tensor, "batch channel position"],
    perceptron: tuple[Tensor, Tensor, Tensor, Tensor],
    lengths: Int[Tensor, " batch"],
    circular: Bool[Tensor, " batch"],
    offsets: tuple[int, ...],
    *,
    heads: int,
) -> Float[Tensor, "batch channel position"]:
    """values + link_mix(values, w2 gelu(w1 source + b1) + b2), see `genomix.nn.ops.link_mix`. Positions from lengths[b] on pass unchanged.

    Args:
        perceptron: w1 [hidden, input], b1 [hidden], w2 [head · link, hidden], b2 [head · link].
        lengths: positions of each record, from 0 to the padded width.
        offsets: one a link.
    """
    return _Operation.apply(source, values, *perceptron, lengths, circular, offsets, heads)


def perceptron(
    source: Float[Tensor, "batch input position"], weights: tuple[Tensor, Tensor, Tensor, Tensor]
) -> Float[Tensor, "batch output position"]:
    """w2 gelu(w1 source + b1) + b2 at every position.

    Args:
        weights: w1 [hidden, input], b1 [hidden], w2 [output, hidden], b2 [output].
    """
    batch, _, width = source.shape
    lengths, rings = torch.full((batch,), width, device=source.device), torch.zeros(batch, dtype=torch.bool, device=source.device)
    return _Operation.apply(source, None, *weights, lengths, rings, (), 1)


def _implementation(problem: Problem, *, backward: bool) -> Any:
    match chosen(problem.source.device.type):
        case "native" if native.serves(problem):
            return native
        case "triton":
            from genomix.nn.ops.triton import fused

            return fused if fused.serves(problem, backward=backward) else chunked
    return chunked


def _autocast(device: str) -> dict[str, Any]:
    enabled = torch.is_autocast_enabled(device)
    return {"enabled": enabled, "dtype": torch.get_autocast_dtype(device)} if enabled else {"enabled": False}
