"""The factor in plain torch, on any device and in any precision: the perceptron runs over a stretch of positions at a time, and again in the backward pass."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from genomix.nn.ops.mixing import link_mix, link_mix_gradients
from genomix.nn.ops.pointwise import pointwise
from genomix.nn.ops.problem import Problem

STRETCH, ACCELERATOR_STRETCH = 4096, 65_536
"""Positions, counted over all records of the batch: their hidden layer stays in a CPU's cache; an accelerator needs more at a time to be busy (not tuned on one)."""


def forward(problem: Problem) -> Tensor:
    """See `genomix.nn.ops.chain`."""
    outputs = _outputs(problem)
    if problem.values is None:
        return outputs
    return problem.values + link_mix(problem.values, _by_link(outputs, problem), problem.lengths, problem.circular, problem.offsets)


def backward(grad: Tensor, problem: Problem) -> tuple[Tensor | None, ...]:
    """Gradients of the source, the values and the perceptron's w1, b1, w2, b2."""
    values = problem.values
    if values is None:
        return _of_perceptron(grad, problem, None)
    beyond = torch.arange(grad.shape[2], device=grad.device) >= problem.lengths[:, None]
    # What is no number there would make gradients so, times zero.
    problem = replace(problem, source=problem.source.masked_fill(beyond[:, None], 0))
    weights = _by_link(_outputs(problem), problem)
    values, grad = values.to(weights.dtype), grad.to(weights.dtype)
    grad_values, grad_weights = link_mix_gradients(grad, values, weights, problem.lengths, problem.circular, problem.offsets)
    return _of_perceptron(grad_weights.flatten(1, 2), problem, grad + grad_values)


def _of_perceptron(grad: Tensor, problem: Problem, grad_values: Tensor | None) -> tuple[Tensor | None, ...]:
    """All gradients, from that of the perceptron's outputs."""
    grad_source = torch.empty_like(problem.source)
    sums = [torch.zeros_like(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32)) for tensor in problem.perceptron]
    for stretch in _stretches(problem.source):
        with torch.enable_grad():
            inputs = [tensor.detach().requires_grad_() for tensor in (problem.source[:, :, stretch], *problem.perceptron)]
            found = torch.autograd.grad(_perceptron(*inputs), inputs, grad[:, :, stretch])
        grad_source[:, :, stretch] = found[0]
        for total, part in zip(sums, found[1:], strict=True):
            total.add_(part)
    return grad_source, grad_values, *(total.to(tensor.dtype) for total, tensor in zip(sums, problem.perceptron, strict=True))


def _outputs(problem: Problem) -> Tensor:
    """Of the perceptron, [batch, output, position]."""
    return torch.cat([_perceptron(problem.source[:, :, stretch], *problem.perceptron) for stretch in _stretches(problem.source)], dim=2)


def _by_link(outputs: Tensor, problem: Problem) -> Tensor:
    """[batch, head, link, position]."""
    return outputs.unflatten(1, (problem.heads, len(problem.offsets)))


def _perceptron(source: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return pointwise(F.gelu(pointwise(source, w1, b1)), w2, b2)


def _stretches(source: Tensor) -> Iterator[slice]:
    batch, _, width = source.shape
    size = max(1, (STRETCH if source.device.type == "cpu" else ACCELERATOR_STRETCH) // max(1, batch))
    return (slice(start, min(width, start + size)) for start in range(0, max(1, width), size))
