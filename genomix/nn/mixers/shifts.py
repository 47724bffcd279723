"""Every position's neighbour at a fixed distance, in rings and in linear records alike."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from genomix.nn.layers import positions_inside


def shifted(
    values: Float[Tensor, "batch channel position"],
    lengths: Int[Tensor, " batch"],
    circular: Bool[Tensor, " batch"],
    offset: int,
) -> Float[Tensor, "batch channel position"]:
    """out[b, c, i] = values[b, c, i + offset], where link (i, i + offset) exists as `genomix.nn.ops.link_mix` defines it; elsewhere zero.

    Args:
        values: zero beyond each record's length.
    """
    width = values.shape[2]
    if abs(offset) >= width:
        return torch.zeros_like(values)
    moved = F.pad(values, (-offset, offset))
    inside = positions_inside(lengths, width)
    if bool(circular.any()):
        position = torch.arange(width, device=values.device)
        index = (position + offset) % lengths.clamp(min=1)[:, None]
        ring = values.gather(2, index[:, None].expand_as(values))
        moved = torch.where(circular[:, None, None], ring, moved)
    return moved.masked_fill(~inside | (lengths <= abs(offset))[:, None, None], 0)
