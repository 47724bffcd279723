"""Tokens to the first hidden layer: embed, average over a patch, look at the neighbours, know the place."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.layers import positions_inside


class PatchEmbedding(nn.Module):
    """The mean embedding of each run of `patch` tokens: downsampling that costs one look-up a token.

    Tokens below zero are padding and count nowhere, so the last patch of a record is the mean of what there is.
    """

    def __init__(self, vocabulary: int, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.randn(vocabulary, channels) * 0.02 if patch > 1 else torch.randn(vocabulary, channels))

    def forward(self, tokens: Int[Tensor, "batch token"]) -> Float[Tensor, "batch channel position"]:
        batch, width = tokens.shape
        patches = self.positions(width)
        tokens = F.pad(tokens, (0, patches * self.patch - width), value=-1).view(batch * patches, self.patch)
        valid = tokens >= 0
        total = F.embedding_bag(tokens.clamp(min=0), self.weight, mode="sum", per_sample_weights=valid.to(self.weight.dtype))
        mean = total / valid.sum(1, keepdim=True).clamp(min=1)
        return mean.view(batch, patches, -1).transpose(1, 2)

    def positions(self, tokens: int) -> int:
        """How many positions that many tokens make."""
        return -(-tokens // self.patch)


class Stem(nn.Module):
    """A short convolution over positions, so that a factor's row, which sees its own position only, knows its surroundings.

    A circular record's ends are each other's neighbours; beyond the ends of a linear one there are zeros.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.beyond = kernel // 2
        self.convolution = nn.Conv1d(inputs, outputs, kernel)

    def forward(
        self,
        embedded: Float[Tensor, "batch inputs position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch outputs position"]:
        inside = positions_inside(lengths, embedded.shape[2])
        padded = F.pad(embedded.masked_fill(~inside, 0), (self.beyond, self.beyond))
        for record in torch.nonzero(circular).flatten().tolist():
            self._join_ends(padded[record], int(lengths[record]))
        return self.convolution(padded)

    def _join_ends(self, padded: Float[Tensor, "inputs width"], length: int) -> None:
        """Write what lies beyond each end of a ring into the padding, in place; a ring shorter than the kernel goes round more than once."""
        ring = padded[:, self.beyond : self.beyond + length].clone()
        round_trip = torch.arange(-self.beyond, length + self.beyond, device=padded.device) % length
        padded[:, : length + 2 * self.beyond] = ring[:, round_trip]
