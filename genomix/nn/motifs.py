"""Motifs: what a mean over a patch's k-mers drowns.

A binding site is some ten or twenty bases in order, longer than a k-mer, somewhere in a record. Convolutions over single bases score it as position weight matrices do (Alipanahi et al. 2015,
doi:10.1038/nbt.3300), and a position keeps the best score of its patch.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.embedding import RingConvolution
from genomix.nn.layers import Pointwise

_BASES = 4
_SCALE = 15.0
"""What the weights are multiplied by. A motif's weights are about 1, and as AdamW changes a weight by no more than its rate an update, they would take a thousand updates to grow."""
_NEVER = -1e4
"""A score below all others, which bfloat16 and float16 have too; GELU makes it zero."""


class MotifStem(nn.Module):
    """Tokens -> `outputs` channels a position of `patch` tokens.

    A token is a k-mer of four letters, numbered so that its first letter is its leading digit; the last id is the unknown k-mer. The last k - 1 bases of a linear record begin no k-mer, and
    are not seen.

    Args:
        vocabulary: 4^k + 1.
        patch: tokens of a position.
        motifs: how many are looked for.
        width: bases of a motif, an odd number.
        both_strands: whether a motif may stand on the other strand as well: then it is looked for there with the same weights, and the better of the two scores counts.
    """

    def __init__(self, vocabulary: int, patch: int, *, motifs: int, width: int, outputs: int, both_strands: bool = False) -> None:
        super().__init__()
        if vocabulary % _BASES != 1:
            raise ValueError("motifs need k-mers of four letters, and an id for the unknown one")
        self.patch, self.per_base = patch, (vocabulary - 1) // _BASES
        self.both_strands = both_strands
        self.convolution = RingConvolution(_BASES, motifs, width)
        with torch.no_grad():
            self.convolution.convolution.weight /= _SCALE
        self.leave = Pointwise(motifs, outputs)

    def forward(self, tokens: Int[Tensor, "batch token"], circular: Bool[Tensor, " batch"]) -> Float[Tensor, "batch outputs position"]:
        """Padding is -1 in `tokens`."""
        positions = -(-tokens.shape[1] // self.patch)
        tokens = F.pad(tokens, (0, positions * self.patch - tokens.shape[1]), value=-1)
        known = tokens >= 0
        bases = torch.div(tokens, self.per_base, rounding_mode="floor")
        letters = bases[:, None] == torch.arange(_BASES, device=tokens.device)[:, None]
        scores = self._scores(letters.to(self.leave.weight.dtype) * _SCALE, known.sum(1), circular)
        scores = scores.masked_fill_(~known[:, None], _NEVER)  # in place: they are by far the largest array
        best = scores.unflatten(2, (positions, self.patch)).amax(3)
        if self.both_strands:
            best = best.unflatten(1, (2, -1)).amax(1)
        return self.leave(F.gelu(best))

    def _scores(self, letters: Tensor, lengths: Tensor, circular: Tensor) -> Float[Tensor, "batch motif base"]:
        """Of every motif at every base; with both strands first all on this one, then all on the other, each in the middle of what it covers."""
        if not self.both_strands:
            return self.convolution(letters, lengths, circular)
        weight, bias = self.convolution.convolution.weight, self.convolution.convolution.bias
        assert bias is not None
        other = weight.flip(1, 2)  # the bases in reverse order, and of each the complement, 3 - b
        extended = self.convolution.extended(letters, lengths, circular)
        return F.conv1d(extended, torch.cat([weight, other]), torch.cat([bias, bias]))
