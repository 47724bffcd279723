"""The definition of `link_mix`, written to be read: gather every link's value, weigh, add. Plain autograd differentiates it."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def link_mix(
    values: Float[Tensor, "batch channel position"],
    weights: Float[Tensor, "batch head link position"],
    lengths: Int[Tensor, " batch"],
    circular: Bool[Tensor, " batch"],
    offsets: tuple[int, ...],
) -> Float[Tensor, "batch channel position"]:
    """See `genomix.nn.ops.link_mix`; the published way to compute it, with batch · links · channels · positions numbers in memory."""
    batch, channels, width = values.shape
    heads = weights.shape[1]
    position = torch.arange(width, device=values.device)
    n = lengths[:, None]
    result = torch.zeros_like(values)
    for link, offset in enumerate(offsets):
        target = position + offset
        inside = (target >= 0) & (target < n)
        exists = (position < n) & (abs(offset) < n) & (inside | circular[:, None])
        index = torch.where(exists, target % n.clamp(min=1), 0)
        seen = values.gather(2, index[:, None].expand(batch, channels, width))
        weight = weights[:, :, link].repeat_interleave(channels // heads, dim=1)
        result = result + torch.where(exists[:, None], weight * seen, 0)
    return result
