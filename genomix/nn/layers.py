"""The small layers that the mixers and the classifier are built from, all channel-first: [batch, channel, position]."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from genomix.nn import ops
from genomix.nn.ops.pointwise import pointwise


class Pointwise(nn.Linear):
    """A linear layer over the channels of every position."""

    def forward(self, hidden: Float[Tensor, "batch inputs position"]) -> Float[Tensor, "batch outputs position"]:
        return pointwise(hidden, self.weight, self.bias)


class Perceptron(nn.Module):
    """Linear-GELU-Linear over the channels of every position; its hidden layer is not kept for the backward pass."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first, self.last = Pointwise(inputs, hidden), Pointwise(hidden, outputs)

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """w1 [hidden, input], b1 [hidden], w2 [output, hidden], b2 [output]."""
        return self.first.weight, self.first.bias, self.last.weight, self.last.bias

    def forward(self, hidden: Float[Tensor, "batch inputs position"]) -> Float[Tensor, "batch outputs position"]:
        return ops.perceptron(hidden, self.weights)


class ChannelNorm(nn.Module):
    """Root-mean-square normalisation over the channels of every position (Zhang & Sennrich, 2019, arXiv 1910.07467)."""

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.epsilon = epsilon

    def forward(self, hidden: Float[Tensor, "batch channel position"]) -> Float[Tensor, "batch channel position"]:
        scale = torch.rsqrt(hidden.square().mean(1, keepdim=True) + self.epsilon)
        return hidden * scale * self.weight[:, None]


def positions_inside(lengths: Int[Tensor, " batch"], width: int) -> Bool[Tensor, "batch 1 position"]:
    """True where a record is, False in its padding."""
    return (torch.arange(width, device=lengths.device) < lengths[:, None])[:, None]


def masked_mean(
    hidden: Float[Tensor, "batch channel position"], inside: Bool[Tensor, "batch 1 position"]
) -> Float[Tensor, "batch channel"]:
    """The mean over each record's own positions; zero for a record of none."""
    total = hidden.masked_fill(~inside, 0).sum(2)
    return total / inside.sum(2).clamp(min=1)
