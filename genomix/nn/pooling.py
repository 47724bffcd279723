"""Positions to one vector a record."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.layers import Pointwise, masked_mean, positions_inside


class MeanPooling(nn.Module):
    """Widen each position to `outputs` channels, GELU, and average over the record: any length, and length itself does not leak.

    Args:
        peak: give each channel's tilted mean too, for what a few positions say and a mean drowns: the mean of its values x weighted by exp(b x), with b
            learned. A maximum would grow with the record's length; this does not.
    """

    def __init__(self, channels: int, outputs: int, *, peak: bool) -> None:
        super().__init__()
        self.widen = nn.Sequential(Pointwise(channels, outputs), nn.GELU())
        self.tilt = nn.Parameter(torch.full((outputs, 1), 4.0)) if peak else None
        self.features = 2 * outputs if peak else outputs

    def forward(self, hidden: Float[Tensor, "batch channel position"], lengths: Int[Tensor, " batch"]) -> Float[Tensor, "batch features"]:
        wide, inside = self.widen(hidden), positions_inside(lengths, hidden.shape[2])
        mean = masked_mean(wide, inside)
        if self.tilt is None:
            return mean
        weights = (wide * self.tilt).masked_fill(~inside, -torch.inf).softmax(2)
        return torch.cat([mean, (wide * weights).sum(2)], dim=1)


class FlattenPooling(nn.Module):
    """Every position's channels side by side, as published: ties the network to `max_length`, and shows it the length."""

    def __init__(self, channels: int, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.features = channels * max_length

    def forward(self, hidden: Float[Tensor, "batch channel position"], lengths: Int[Tensor, " batch"]) -> Float[Tensor, "batch outputs"]:
        hidden = hidden.masked_fill(~positions_inside(lengths, hidden.shape[2]), 0)
        return torch.flatten(F.pad(hidden, (0, self.max_length - hidden.shape[2])).transpose(1, 2), 1)


class FeatureNorm(nn.Module):
    """Standardise each feature by running averages over the records seen, in training too.

    A batch's own averages (batch normalisation) would take away what its records have in common, and records of one length often have their class in common.
    """

    mean: Tensor
    square: Tensor
    seen: Tensor

    def __init__(self, features: int, *, memory: int = 800, largest: float = 6.0) -> None:
        super().__init__()
        self.memory, self.largest = memory, largest
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("square", torch.ones(features))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        if self.training:
            self._remember(features.detach())
        spread = (self.square - self.mean.square()).clamp(min=1e-6).sqrt()
        return ((features - self.mean) / spread).clamp(-self.largest, self.largest) * self.weight + self.bias

    @torch.no_grad()
    def _remember(self, features: Float[Tensor, "batch feature"]) -> None:
        """Averages over all records at first, later over about the last `memory`."""
        self.seen.add_(len(features)).clamp_(max=self.memory)
        rate = len(features) / self.seen
        self.mean.lerp_(features.mean(0), rate)
        self.square.lerp_(features.square().mean(0), rate)
