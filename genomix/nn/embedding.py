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


class RingConvolution(nn.Module):
    """A convolution over positions that keeps their number and knows where a record ends.

    A circular record's ends are each other's neighbours; beyond the ends of a linear one there are zeros. So neither padding nor batch-mates change a result.

    Args:
        kernel: positions that an output sees, an odd number.
        dilation: positions from one of these to the next.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.beyond = kernel // 2 * dilation
        self.convolution = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)

    def forward(
        self,
        hidden: Float[Tensor, "batch inputs position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch outputs position"]:
        return self.convolution(self.extended(hidden, lengths, circular))

    def extended(
        self, hidden: Float[Tensor, "batch inputs position"], lengths: Int[Tensor, " batch"], circular: Bool[Tensor, " batch"]
    ) -> Float[Tensor, "batch inputs width"]:
        """What the convolution sees: `beyond` more positions on either side."""
        inside = positions_inside(lengths, hidden.shape[2])
        padded = F.pad(hidden.masked_fill(~inside, 0), (self.beyond, self.beyond))
        if self.beyond and bool(circular.any()):
            padded = self._joined(padded, lengths, circular)
        return padded

    def _joined(
        self, padded: Float[Tensor, "batch inputs width"], lengths: Int[Tensor, " batch"], circular: Bool[Tensor, " batch"]
    ) -> Float[Tensor, "batch inputs width"]:
        """With what lies beyond each end of a ring in the padding there; a ring shorter than the kernel goes round more than once.

        One operation for all rings: a write for each would have its backward pass copy the gradient of the whole batch.
        """
        beyond, length = torch.arange(self.beyond, device=padded.device), lengths[:, None]
        places = torch.cat([beyond.expand(len(padded), -1), self.beyond + length + beyond], 1)
        ring = torch.cat([beyond - self.beyond, beyond]) % length.clamp(min=1)
        shape = (-1, padded.shape[1], -1)
        ends = padded.gather(2, (self.beyond + ring)[:, None].expand(shape)).masked_fill(~circular[:, None, None], 0)
        return padded.scatter(2, places[:, None].expand(shape), ends)
