"""A whole factor, v + W v with W computed by a perceptron, in one kernel: what launches the kernels of `factor.py` and `factor_backward.py`.

The link weights and the hidden layer are never written to device memory, nor are their gradients: what is kept for the backward pass is values and source.
"""

import os
from dataclasses import replace

import torch
import triton
import triton.language as tl
from torch import Tensor

from genomix.nn.ops.problem import Problem
from genomix.nn.ops.triton import factor, factor_backward, offsets_on, sum_type
from genomix.nn.ops.triton.tables import factor_fits, factor_tile, matrix_side

RECOMPUTED = 32_768
"""Multiply-adds a position that the fused backward pass may spend on computing the links' weights again at their other ends; beyond, writing them costs less.
An estimate on paper: 0.16 ns a position at half an H100's rate, about what one pass over values, source and result takes."""

SHARES = 512
"""Programs that share out the gradient of the parameters; fixed, so that the order of the sums doesn't depend on the GPU."""


def serves(problem: Problem, *, backward: bool) -> bool:
    """Whether this implementation can do it, and is worth it."""
    values, (w1, _, w2, _) = problem.values, problem.perceptron
    if values is None or values.shape[1] != problem.source.shape[1] or (values.is_cuda and values.dtype == torch.float64):
        return False
    channels, hidden, rows = values.shape[1], len(w1), len(w2)
    if backward and 2 * len(problem.offsets) * hidden * channels > RECOMPUTED:
        return False
    return factor_fits(channels, hidden, rows, trains=backward)


def forward(problem: Problem) -> Tensor:
    """See `genomix.nn.ops.chain`."""
    given = _in_one_type(problem)
    values = _values(given)
    with torch.cuda.device_of(values):  # kernels run on the current GPU, which need not be the tensors'
        return _apply(values, given)


def backward(grad: Tensor, problem: Problem) -> tuple[Tensor | None, ...]:
    """Gradients of the source, the values and the perceptron's w1, b1, w2, b2."""
    given = _in_one_type(problem)
    with torch.cuda.device_of(grad):
        grad = grad.to(_values(given).dtype)
        return _learn(grad, given, _gather(grad, given))


def _apply(values: Tensor, given: Problem) -> Tensor:
    batch, _, width = values.shape
    heads, size, hidden = _shape(given)
    result = torch.empty(values.shape, dtype=values.dtype, device=values.device)
    tile = factor_tile(hidden)
    programs = batch * triton.cdiv(width, tile.positions)
    if programs:
        factor.apply[programs,](
            values, given.source, *given.perceptron, given.lengths, given.circular, offsets_on(values.device, given.offsets), result,
            width, heads, size, hidden, *values.stride(), *given.source.stride(),
            LINKS=len(given.offsets), SUM=sum_type(values), OPERANDS=_operands(values), PRECISION=_precision(),
            INPUTS=min(64, matrix_side(heads * size)), HIDDEN=matrix_side(hidden), ROWS=matrix_side(len(given.offsets)),
            CHANNELS=min(tile.channels, triton.next_power_of_2(size)), POSITIONS=tile.positions, num_warps=tile.warps,
        )  # fmt: skip
    return result


def _gather(grad: Tensor, given: Problem) -> Tensor:
    """The gradient of the values."""
    batch, channels, width = grad.shape
    heads, size, hidden = _shape(given)
    result = torch.empty(grad.shape, dtype=grad.dtype, device=grad.device)
    tile = factor_tile(hidden)
    inputs = min(64, matrix_side(channels))
    programs = batch * triton.cdiv(channels, inputs) * triton.cdiv(width, tile.positions)
    if programs:
        factor.gather[programs,](
            grad, given.source, *given.perceptron, given.lengths, given.circular, offsets_on(grad.device, given.offsets), result,
            width, heads, size, hidden, *grad.stride(), *given.source.stride(),
            LINKS=len(given.offsets), SUM=sum_type(grad), OPERANDS=_operands(grad), PRECISION=_precision(), INPUTS=inputs,
            HIDDEN=matrix_side(hidden), CHANNELS=inputs, POSITIONS=tile.positions, num_warps=tile.warps,
        )  # fmt: skip
    return result


def _learn(grad: Tensor, given: Problem, grad_values: Tensor) -> tuple[Tensor, ...]:
    """All gradients, given that of the values."""
    values, (w1, b1, w2, b2) = _values(given), given.perceptron
    batch, channels, width = values.shape
    heads, size, hidden = _shape(given)
    grad_source = torch.empty(given.source.shape, dtype=values.dtype, device=values.device)
    tile = factor_tile(hidden)
    tiles = batch * triton.cdiv(width, tile.positions)
    programs = min(tiles, SHARES)
    sizes = [part.numel() for part in given.perceptron]
    shares = torch.empty(programs, sum(sizes), dtype=torch.promote_types(values.dtype, torch.float32), device=values.device)
    if programs:
        factor_backward.learn[programs,](
            grad, values, given.source, w1, b1, w2, given.lengths, given.circular, offsets_on(values.device, given.offsets), grad_source,
            shares, width, heads, size, hidden, tiles, *grad.stride(), *values.stride(), *given.source.stride(),
            LINKS=len(given.offsets), SUM=sum_type(values), OPERANDS=_operands(values), PRECISION=_precision(), INPUTS=matrix_side(channels),
            HIDDEN=matrix_side(hidden), ROWS=matrix_side(len(w2)), CHANNELS=min(tile.channels, triton.next_power_of_2(size)),
            POSITIONS=tile.positions, num_warps=tile.warps,
        )  # fmt: skip
    parts = shares.sum(0).split(sizes)
    return grad_source, grad_values, *(part.view(like.shape) for part, like in zip(parts, (w1, b1, w2, b2), strict=True))


def _in_one_type(problem: Problem) -> Problem:
    """Under autocast its type, as PyTorch's own linear layers do; else that of the values. The perceptron's tensors contiguous, as the kernels read them."""
    values = _values(problem)
    kind = values.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype
    w1, b1, w2, b2 = (part.to(dtype).contiguous() for part in problem.perceptron)
    return replace(problem, source=problem.source.to(dtype), values=values.to(dtype), perceptron=(w1, b1, w2, b2))


def _values(problem: Problem) -> Tensor:
    assert problem.values is not None  # what `serves` asks
    return problem.values


def _shape(given: Problem) -> tuple[int, int, int]:
    """Heads, channels of a head, hidden units."""
    return given.heads, _values(given).shape[1] // given.heads, len(given.perceptron[0])


def _operands(values: Tensor) -> tl.dtype:
    """What matrices are multiplied in."""
    if values.dtype == torch.bfloat16 and os.environ.get("TRITON_INTERPRET") == "1":
        return tl.float32
    return {torch.float64: tl.float64, torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}[values.dtype]


def _precision() -> str:
    """How float32 matrices are multiplied: as PyTorch is told to multiply them."""
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
