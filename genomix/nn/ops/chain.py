"""A perceptron on every position, and the factors of a Paramixer one after the other, as one operation each: what their hidden layers would keep for the
backward pass is by far the largest part of a network's memory. Only the inputs of each are kept; the hidden layers and the link weights are computed again.
Three implementations keep one contract: `native` (C, float32 on a CPU), `triton.fused` (a GPU) and `chunked` (plain torch, everywhere, and for what the
others can't do).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from genomix.native import switched_off
from genomix.nn.ops import chunked, native
from genomix.nn.ops.choice import chosen
from genomix.nn.ops.problem import Problem, Weights
from genomix.nn.ops.shapes import check_factors, check_perceptron


def factors(
    source: Float[Tensor, "batch input position"],
    values: Float[Tensor, "batch channel position"],
    perceptrons: Sequence[Weights],
    lengths: Sequence[Int[Tensor, " batch"]],
    circular: Bool[Tensor, " batch"],
    offsets: Sequence[tuple[int, ...]],
    *,
    heads: int,
    kept: int | None = None,
) -> Float[Tensor, "batch channel position"]:
    """For each factor in turn: values <- values + link_mix(values, w2 gelu(w1 source + b1) + b2), see `genomix.nn.ops.link_mix`.

    Args:
        perceptrons: of each factor w1 [hidden, input], b1 [hidden], w2 [head · link, hidden], b2 [head · link].
        lengths: of each factor the positions of each record, from 0 to the padded width; those from there on pass unchanged.
        offsets: of each factor one a link.
        kept: of how many factors what goes into them is kept for the backward pass, which computes what goes into the others again. None is all.

    Raises:
        ValueError: shapes that don't belong together; channels that can't be shared out to the heads; so many factors there aren't.
    """
    check_factors(source, values, perceptrons, lengths, circular, offsets, heads)
    most = len(perceptrons)
    kept = most if kept is None else kept
    if not 1 <= kept <= most:
        raise ValueError(f"what goes into {kept} of {most} factors can't be kept")
    weights = [tensor for perceptron in perceptrons for tensor in perceptron]
    # Asked here: within a function of autograd it is switched off.
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (source, values, *weights))
    return _applied(_Factors, source.device, kept if keep else 0, source, values, tuple(lengths), circular, tuple(offsets), heads, *weights)


def perceptron(source: Float[Tensor, "batch input position"], weights: Weights) -> Float[Tensor, "batch output position"]:
    """w2 gelu(w1 source + b1) + b2 at every position.

    Args:
        weights: w1 [hidden, input], b1 [hidden], w2 [output, hidden], b2 [output].

    Raises:
        ValueError: shapes that don't belong together.
    """
    check_perceptron(source, weights)
    return _applied(_Perceptron, source.device, source, *weights)


def _applied(function: type[torch.autograd.Function], device: torch.device, *inputs: Any) -> Tensor:
    """`function.apply`, which `torch.compile` leaves out of its graph where that may call C: it can't be traced."""
    # A decorator would import PyTorch's compiler, two seconds, in every command.
    if torch.compiler.is_compiling() and device.type == "cpu" and not switched_off():
        return torch.compiler.disable(function.apply)(*inputs)
    return function.apply(*inputs)


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(source, *weights)
        ctx.autocast = _autocast(source.device.type)
        problem = _alone(source, weights)
        return native.forward(problem) if _is_native(problem) else chunked.forward(problem)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        source, *weights = ctx.saved_tensors
        problem = _alone(source, weights)
        if _is_native(problem):
            grad_source = native.memory(*source.shape)
            return grad_source, *native.backward(grad, problem, grad_source)
        with torch.autocast(source.device.type, **ctx.autocast):
            of_source, _, *of_weights = chunked.backward(grad, problem)
            return of_source, *of_weights


class _Factors(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, number: int, source: Tensor, values: Tensor, lengths: Any, circular: Tensor, offsets: Any, heads: int, *weights: Tensor
    ) -> Tensor:
        ctx.autocast, ctx.offsets, ctx.heads, ctx.spent = _autocast(source.device.type), offsets, heads, False
        problems = _problems(source, values, weights, lengths, circular, offsets, heads)
        ctx.native = all(map(_is_native, problems))
        run = _run_native if ctx.native else _run
        result, kept = run(problems, _first_ones(number, len(problems)))
        ctx.save_for_backward(source, circular, *lengths, *weights, *kept)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.spent:
            raise RuntimeError(
                "the factors in C go backward once: what they kept takes up the gradients; GENOMIX_NATIVE=0 does without them"
            )
        source, circular, *saved = ctx.saved_tensors
        count = len(ctx.offsets)
        lengths, weights, kept = saved[:count], saved[count : 5 * count], saved[5 * count :]
        problems = _problems(source, kept[0], weights, lengths, circular, ctx.offsets, ctx.heads)
        learn, ctx.spent = (_learn_native, True) if ctx.native else (_learn, False)
        with torch.autocast(source.device.type, **ctx.autocast):
            grad_source, grad_values, of_weights = learn(grad, problems, kept)
        return None, grad_source, grad_values, None, None, None, None, *of_weights


def _run(problems: list[Problem], first_ones: frozenset[int]) -> tuple[Tensor, list[Tensor]]:
    """The result, and what the factors of these numbers began with."""
    values, kept = _values(problems[0]), []
    for number, problem in enumerate(problems):
        kept += [values] if number in first_ones else []
        values = _mixed(replace(problem, values=values))
    return values, kept


def _learn(grad: Tensor, problems: list[Problem], kept: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradients of the source, the values and all weights."""
    grad_source: Tensor | None = None
    of_weights: list[Tensor] = []
    for group, first in _groups(problems, kept):
        given = [replace(group[0], values=first)]
        for problem in group[1:]:
            given.append(replace(problem, values=_mixed(given[-1])))
        for problem in reversed(given):
            of_source, grad, *of_perceptron = _implementation(problem, backward=True).backward(grad, problem)
            grad_source, of_weights = of_source if grad_source is None else grad_source + of_source, of_perceptron + of_weights
    assert grad_source is not None, "there is a factor"
    return grad_source, grad, of_weights


def _run_native(problems: list[Problem], first_ones: frozenset[int]) -> tuple[Tensor, list[Tensor]]:
    """Like `_run`; what is kept is position-first."""
    given = _values(problems[0])
    source, values = native.enter(problems[0].source, padded=True), native.enter(given)
    spare: Tensor | None = None
    kept: list[Tensor] = []
    for number, problem in enumerate(problems):
        result = native.forward(replace(problem, source=source, values=values), spare)
        is_kept = number in first_ones
        kept += [values] if is_kept else []
        values, spare = result, None if is_kept else values
    return native.leave(values, given.shape[1]), kept


def _learn_native(grad: Tensor, problems: list[Problem], kept: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Like `_learn`. A factor's values are done with when its weights' gradients are known: their memory takes up their own gradient."""
    source, channels = native.enter(problems[0].source, padded=True), grad.shape[1]
    grad, grad_source = native.enter(grad), native.memory(*source.shape).zero_()
    of_weights: list[Tensor] = []
    for group, first in _groups(problems, kept):
        given = [replace(group[0], source=source, values=first)]
        for problem in group[1:]:
            given.append(replace(problem, source=source, values=native.forward(given[-1])))
        for problem in reversed(given):
            values = _values(problem)
            of_weights = [*native.backward(grad, problem, grad_source, values), *of_weights]
            native.give_back(grad)
            grad = values
    return native.leave(grad_source, problems[0].source.shape[1]), native.leave(grad, channels), of_weights


def _first_ones(kept: int, count: int) -> frozenset[int]:
    """The numbers of the factors whose inputs are kept, evenly spread from the first one on."""
    return frozenset(group * count // kept for group in range(kept))


def _groups(problems: list[Problem], kept: Sequence[Tensor]) -> list[tuple[list[Problem], Tensor]]:
    """The factors that one of the kept values serves, the last ones first."""
    starts = [*sorted(_first_ones(len(kept), len(problems))), len(problems)]
    return [(problems[start:end], values) for start, end, values in reversed(list(zip(starts, starts[1:], kept, strict=False)))]


def _mixed(problem: Problem) -> Tensor:
    result: Tensor = _implementation(problem, backward=False).forward(problem)
    return result


def _values(problem: Problem) -> Tensor:
    assert problem.values is not None, "or it were a perceptron alone"
    return problem.values


def _problems(
    source: Tensor, values: Tensor, weights: Sequence[Tensor], lengths: Any, circular: Tensor, offsets: Any, heads: int
) -> list[Problem]:
    """One a factor; the values are those of the first."""
    by_factor = [(weights[i], weights[i + 1], weights[i + 2], weights[i + 3]) for i in range(0, len(weights), 4)]
    return [
        Problem(source, values, of, length, circular, links, heads) for of, length, links in zip(by_factor, lengths, offsets, strict=True)
    ]


def _alone(source: Tensor, weights: Sequence[Tensor]) -> Problem:
    """A perceptron that computes no links."""
    batch, _, width = source.shape
    lengths, rings = torch.full((batch,), width, device=source.device), torch.zeros(batch, dtype=torch.bool, device=source.device)
    w1, b1, w2, b2 = weights
    return Problem(source, None, (w1, b1, w2, b2), lengths, rings, (), 1)


def _is_native(problem: Problem) -> bool:
    return chosen(problem.source.device.type) == "native" and native.serves(problem)


def _implementation(problem: Problem, *, backward: bool) -> Any:
    if chosen(problem.source.device.type) == "triton":
        from genomix.nn.ops.triton import fused

        return fused if fused.serves(problem, backward=backward) else chunked
    return chunked


def _autocast(device: str) -> dict[str, Any]:
    enabled = torch.is_autocast_enabled(device)
    return {"enabled": enabled, "dtype": torch.get_autocast_dtype(device)} if enabled else {"enabled": False}
