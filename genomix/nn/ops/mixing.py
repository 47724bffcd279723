"""`link_mix`: one sparse factor applied to the values, as a `torch.library` operator with an implementation for each kind of device."""

from types import ModuleType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genomix.nn.ops import slices
from genomix.nn.ops.choice import chosen


def _forward(values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> Tensor:
    with torch.cuda.device_of(values):  # kernels run on the current GPU, which need not be the tensors'
        return _implementation(values.device.type).forward(values, weights, lengths, circular, offsets).contiguous()


def _backward(
    grad: Tensor, values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]
) -> tuple[Tensor, Tensor]:
    with torch.cuda.device_of(values):
        of_values, of_weights = _implementation(values.device.type).backward(grad, values, weights, lengths, circular, offsets)
        return of_values.contiguous(), of_weights.contiguous()


def _implementation(device: str) -> ModuleType:
    if chosen(device) != "triton":
        return slices
    from genomix.nn.ops import triton

    return triton


_operator = torch.library.custom_op("genomix::link_mix", _forward, mutates_args=())
_gradient = torch.library.custom_op("genomix::link_mix_backward", _backward, mutates_args=())


@_operator.register_fake
def _(values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> Tensor:
    return values.new_empty(values.shape)


@_gradient.register_fake
def _(grad: Tensor, values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> tuple[Tensor, Tensor]:
    return values.new_empty(values.shape), weights.new_empty(weights.shape)


def _remember(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - torch's own signature
    values, weights, lengths, circular, offsets = inputs
    ctx.save_for_backward(values, weights, lengths, circular)
    ctx.offsets = offsets


def _differentiate(ctx, grad: Tensor) -> tuple:  # type: ignore[no-untyped-def]  # noqa: ANN001 - torch's own signature
    values, weights, lengths, circular = ctx.saved_tensors
    grad_values, grad_weights = _gradient(grad.contiguous(), values, weights, lengths, circular, ctx.offsets)
    return grad_values, grad_weights, None, None, None


_operator.register_autograd(_differentiate, setup_context=_remember)


def link_mix(
    values: Float[Tensor, "batch channel position"],
    weights: Float[Tensor, "batch head link position"],
    lengths: Int[Tensor, " batch"],
    circular: Bool[Tensor, " batch"],
    offsets: tuple[int, ...],
) -> Float[Tensor, "batch channel position"]:
    """One sparse factor times the values: out[b, c, i] = sum over l of weights[b, head(c), l, i] · values[b, c, i + offsets[l]].

    The channels are shared out to the heads in equal runs. In a circular record i + offset is taken modulo the record's own length; in a linear one a
    link that would cross an end does not exist. Nor does, in either, a link as long as the record or longer. Positions from lengths[b] on are zero in
    the result and are never read.

    Args:
        lengths: positions of each record, from 0 to the padded width. A record of length 0 gets zeros.
        offsets: one a link.
    """
    return _operator(values, weights, lengths, circular, list(offsets))


def link_mix_gradients(
    grad: Tensor, values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Gradients for the values and the weights of `link_mix`, from that of its result."""
    return _gradient(grad.contiguous(), values, weights, lengths, circular, list(offsets))
