"""Reading frames: what a mean over overlapping k-mers blurs.

A gene is read three bases at a time, and which of the three phases is read shows only at base resolution: a stop codon ends an open reading frame in its own
phase. So the codons of each phase are averaged apart, and one small network looks along each phase, with the two others in sight; the strongest answer of the
three at a position is that position's. Shifting a record by one base permutes the phases and changes nothing else.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.embedding import RingConvolution
from genomix.nn.layers import ChannelNorm, Pointwise
from genomix.nn.settings import PHASES

CODONS = 64
_STOPS = (48, 50, 56)
"""TAA, TAG, TGA."""
_STOPS_BEHIND = (60, 28, 52)
"""TTA, CTA, TCA: those of the other strand."""
_STOP_WEIGHT = 3.0
"""So that one stop codon among the ten of a patch says as much as a codon's other channels do."""


def _codons(channels: int) -> Float[Tensor, "codon channel"]:
    """What codons begin as: at random, but for two channels of stop codons (of the standard code), one a strand. A frame is open where there are none, and where the
    mean of ten random codons has to be told from that of nine and a stop, hundreds of updates may pass before anything is learnt.
    """
    weight = torch.randn(CODONS + 1, channels) * 0.3
    for channel, stops in enumerate((_STOPS, _STOPS_BEHIND)[:channels]):
        weight[:, channel] = 0
        weight[list(stops), channel] = _STOP_WEIGHT
    return weight


class FrameStem(nn.Module):
    """Tokens -> `outputs` channels a position of `patch` tokens.

    A token is a k-mer of four letters, k from 3, numbered so that its first three letters are its leading digits; the last id is the unknown k-mer.

    Args:
        vocabulary: 4^k + 1.
        codon: channels of a codon's embedding.
        channels: channels of the network along a phase.
        layers: its dilated convolutions; n of them see 2^n - 1 positions on either side.
        patch: tokens of a position, a multiple of three.
    """

    def __init__(self, vocabulary: int, patch: int, *, codon: int, channels: int, layers: int, outputs: int) -> None:
        super().__init__()
        if vocabulary <= CODONS or patch % PHASES:
            raise ValueError(f"reading frames need k-mers of three letters or more and a patch of a multiple of {PHASES}")
        self.patch, self.codon, self.per_codon = patch, codon, (vocabulary - 1) // CODONS
        self.weight = nn.Parameter(_codons(codon))
        self.enter = Pointwise(PHASES * codon, channels)
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))
        self.convolutions = nn.ModuleList(RingConvolution(channels, channels, 3, dilation=2**layer) for layer in range(layers))
        self.leave = Pointwise(channels, outputs)

    def forward(
        self,
        tokens: Int[Tensor, "batch token"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch outputs position"]:
        """Padding is -1 in `tokens`; `lengths` counts positions."""
        batch = len(tokens)
        hidden = F.gelu(self.enter(self._phases(tokens)))
        lengths, circular = lengths.repeat_interleave(PHASES), circular.repeat_interleave(PHASES)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            hidden = hidden + F.gelu(convolution(norm(hidden), lengths, circular))
        return self.leave(hidden.view(batch, PHASES, *hidden.shape[1:]).amax(1))

    def _phases(self, tokens: Int[Tensor, "batch token"]) -> Float[Tensor, "batch_phase channel position"]:
        """The mean codon of each phase at each position: for every phase its own, then those of the next phases in order."""
        batch, width = tokens.shape
        positions = -(-width // self.patch)
        padded = F.pad(tokens, (0, positions * self.patch - width), value=-1)
        bags = padded.view(batch, positions, self.patch // PHASES, PHASES).permute(0, 3, 1, 2).reshape(-1, self.patch // PHASES)
        valid = bags >= 0
        codons = torch.div(bags.clamp(min=0), self.per_codon, rounding_mode="floor")
        total = F.embedding_bag(codons, self.weight, mode="sum", per_sample_weights=valid.to(self.weight.dtype))
        means = (total / valid.sum(1, keepdim=True).clamp(min=1)).view(batch, PHASES, positions, self.codon)
        around = torch.stack([means.roll(-phase, 1) for phase in range(PHASES)], dim=3)
        return around.flatten(3).flatten(0, 1).transpose(1, 2).contiguous()
