"""What a record is made of: its k-mer frequencies as scores, whatever their order."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class Composition(nn.Module):
    """A record's token frequencies, mapped to `outputs` scores whose mean square is made 1: what a record is like, not how far it is from all others.

    One count a token and one small product a record: cheap however many scores there are. Tokens below zero are padding.

    Args:
        vocabulary: token ids run from 0 to vocabulary - 1.
    """

    def __init__(self, vocabulary: int, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight = nn.Parameter(torch.randn(vocabulary, outputs) * 0.02)

    def forward(self, tokens: Int[Tensor, "batch token"], lengths: Int[Tensor, " batch"]) -> Float[Tensor, "batch outputs"]:
        """`lengths` counts each record's tokens, from 1."""
        counts = self.weight.new_zeros(len(tokens), len(self.weight) + 1)
        ids = torch.where(tokens < 0, len(self.weight), tokens).long()  # padding has a column of its own, which is left out
        counts.scatter_add_(1, ids, torch.ones((), dtype=counts.dtype, device=counts.device).expand(ids.shape))
        scores = torch.addmm(self.bias, counts[:, :-1] / lengths[:, None], self.weight)
        return F.rms_norm(scores, scores.shape[1:])
