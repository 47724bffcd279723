"""ChordMixer's mixer: perceptrons on each position, and between them rotations without parameters (Khalitov, Yu, Cheng, Yang, ICLR 2023, arXiv 2206.05852).

    v <- values;   for m = 1 .. M = ceil(log2 N):   v <- rotate(perceptron_m(norm(v))) + v

The channels are shared out to M + 1 groups; `rotate` leaves the first where it is and moves group g by 2^(g-1) positions. In a circular record that goes
round its own ring; a linear one has no ring, so what would come round its end is zero. A group whose move is the record's length or more stays where it is.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from genomix.nn.layers import ChannelNorm, Perceptron, positions_inside
from genomix.nn.mixers.shifts import shifted
from genomix.nn.settings import MixerSettings


class Rotation(nn.Module):
    """The mixer, for records of up to `max_length` positions.

    Raises:
        ValueError: there are fewer channels than groups.
    """

    def __init__(self, channels: int, max_length: int, settings: MixerSettings) -> None:
        super().__init__()
        self.groups = settings.steps(max_length) + 1
        if channels < self.groups:
            raise ValueError(
                f"a rotation mixer of {max_length} positions has {self.groups} groups of channels, and there are {channels} channels"
            )
        self.layers = nn.ModuleList(
            nn.Sequential(ChannelNorm(channels), Perceptron(channels, settings.hidden, channels)) for _ in range(self.groups - 1)
        )

    def forward(
        self,
        source: Float[Tensor, "batch channel position"],  # noqa: ARG002 - its weights depend on nothing
        values: Float[Tensor, "batch channel position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel position"]:
        """Mix `values`; `source` is not looked at. A record passes the first ceil(log2 of its length) layers."""
        inside = positions_inside(lengths, values.shape[2])
        mixed = values.masked_fill(~inside, 0)
        longest = int(lengths.max())
        for m, layer in enumerate(self.layers):
            if longest <= 2**m:
                break
            seen = inside & (lengths > 2**m)[:, None, None]
            mixed = mixed + self._rotated(layer(mixed).masked_fill(~seen, 0), lengths, circular)
        return mixed

    def _rotated(self, values: Tensor, lengths: Tensor, circular: Tensor) -> Tensor:
        first, *others = values.tensor_split(self.groups, dim=1)
        moved = [first]
        for power, group in enumerate(others):
            stays = (lengths <= 2**power)[:, None, None]
            moved.append(torch.where(stays, group, shifted(group, lengths, circular, 2**power)))
        return torch.cat(moved, dim=1)
