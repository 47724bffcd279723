"""`link_mix` in Triton: what launches the kernels of `mixing.py`. Any strides, any number of channels, float64 to bfloat16; sums are kept in float32 at least.

Lengths and offsets stay on the device, so a launch never waits for it. Under `TRITON_INTERPRET=1`, set before triton is imported, the same kernels run on a
CPU, slowly: that is how they are tested where there is no GPU.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from genomix.nn.ops.triton import mixing
from genomix.nn.ops.triton.tables import mixing_tile


def forward(values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> Tensor:
    """See `genomix.nn.ops.link_mix`."""
    return _mix(values, weights, lengths, circular, offsets, arriving=False)


def backward(grad: Tensor, values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> tuple[Tensor, Tensor]:
    """Gradients of `forward` for its values and its weights, from the gradient of its result."""
    return _mix(grad, weights, lengths, circular, offsets, arriving=True), _weigh(grad, values, weights, lengths, circular, offsets)


def _mix(values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int], *, arriving: bool) -> Tensor:
    batch, channels, width = values.shape
    heads = weights.shape[1]
    size = channels // heads
    result = torch.empty(values.shape, dtype=values.dtype, device=values.device)
    tile = mixing_tile(size)
    programs = batch * heads * triton.cdiv(size, tile.channels) * triton.cdiv(width, tile.positions)
    if programs:
        mixing.mix[programs,](
            values, weights, lengths, circular, offsets_on(values.device, tuple(offsets)), result,
            width, heads, size, *values.stride(), *weights.stride(),
            LINKS=len(offsets), ARRIVING=arriving, SUM=sum_type(values), CHANNELS=tile.channels, POSITIONS=tile.positions, num_warps=tile.warps,
        )  # fmt: skip
    return result


def _weigh(upstream: Tensor, values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> Tensor:
    batch, channels, width = values.shape
    heads = weights.shape[1]
    size = channels // heads
    result = torch.empty(weights.shape, dtype=weights.dtype, device=weights.device)
    tile = mixing_tile(size)
    programs = batch * heads * triton.cdiv(width, tile.positions)
    if programs:
        mixing.weigh[programs,](
            upstream, values, lengths, circular, offsets_on(values.device, tuple(offsets)), result,
            width, heads, size, *upstream.stride(), *values.stride(),
            LINKS=len(offsets), SUM=sum_type(values), CHANNELS=tile.channels, POSITIONS=tile.positions, num_warps=tile.warps,
        )  # fmt: skip
    return result


@lru_cache(maxsize=256)
def offsets_on(device: torch.device, offsets: tuple[int, ...]) -> Tensor:
    """The offsets on the device, copied there once."""
    return torch.tensor(offsets, dtype=torch.int64, device=device)


def sum_type(values: Tensor) -> tl.dtype:
    """What products are added in."""
    return tl.float64 if values.dtype == torch.float64 else tl.float32
