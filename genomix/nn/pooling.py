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


class FeatureNorm(nn.BatchNorm1d):
    """Standardise each feature over the batch in training, by running averages otherwise and where the batch is a single record, which has no spread.

    A batch must be a fair sample: where its records have their length, and so their class, in common, that is what would be taken away.
    """

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        if self.training and len(features) == 1:
            return F.batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps)
        return super().forward(features)
