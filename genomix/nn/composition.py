"""What a record's k-mer frequencies say by themselves, whatever their order: the answer that the rest of the network corrects."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

LEAST = -8.0
"""Lowest log probability that composition gives: the rest of the network must be able to overrule it."""


class Composition(nn.Module):
    """A fitted logistic regression on token frequencies (see `genomix.train.composition`), as log probabilities [batch, class]; all equal before the fit.

    Its numbers are buffers: gradients do not change them. The last token id is the unknown k-mer, which is not counted, as padding below zero is not. What is
    counted may be the shorter word that a k-mer begins with, whose number is the k-mer's divided by a power of four; such words come first in all buffers.

    Args:
        vocabulary: token ids run from 0 to vocabulary - 1.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    rate: Tensor
    power: Tensor
    level: Tensor
    partner: Tensor
    divisor: Tensor

    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(vocabulary - 1, classes))
        self.register_buffer("bias", torch.zeros(classes))
        self.register_buffer("mean", torch.zeros(vocabulary - 1))
        self.register_buffer("rate", torch.ones(vocabulary - 1))
        self.register_buffer("power", torch.ones(()))
        self.register_buffer("level", torch.tensor(data=False))
        self.register_buffer("partner", torch.arange(vocabulary - 1))
        self.register_buffer("divisor", torch.ones((), dtype=torch.int64))
        self.register_load_state_dict_pre_hook(_complete)

    def fill(
        self, weight: Tensor, bias: Tensor, *, mean: Tensor, rate: Tensor, power: float, level: bool, partner: Tensor, divisor: int = 1
    ) -> None:
        """Take over a fit on (frequencies^power - mean) * rate.

        Args:
            weight: float [word, class].
            bias: float [class].
            mean: float [word].
            rate: float [word], one over the standard deviation; 0 for a word that the fit leaves out.
            level: whether the features of every record were given the same norm (see `levelled`).
            partner: int [token], each token's reverse complement; its own number where strands are counted apart.
            divisor: of token ids, to get the words that are counted; there are as many places as tokens all the same.
        """
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        self.mean.copy_(mean)
        self.rate.copy_(rate)
        self.power.fill_(power)
        self.level.fill_(level)
        self.partner.copy_(partner)
        self.divisor.fill_(divisor)

    def forward(self, tokens: Int[Tensor, "batch token"]) -> Float[Tensor, "batch class"]:
        known, precise = len(self.weight), torch.promote_types(self.weight.dtype, torch.float32)
        counts = self.weight.new_zeros(len(tokens), known + 1, dtype=precise)  # float16 ends at 65,504
        ids = torch.where(tokens < 0, known, tokens).long()  # padding is counted with the unknown k-mer, and left out with it
        counts.scatter_add_(1, ids, counts.new_ones(()).expand(ids.shape))
        tokens_of = counts[:, :known] + counts[:, self.partner]  # of both strands; their words then are the same whichever strand is given
        words = torch.arange(known, device=ids.device) // self.divisor
        counts = torch.zeros_like(tokens_of).index_add_(1, words, tokens_of)
        shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
        features = (shares ** self.power.to(precise) - self.mean) * self.rate
        features = torch.where(self.level, levelled(features, torch.count_nonzero(self.rate)), features)
        return bounded(torch.addmm(self.bias, features.to(self.weight.dtype), self.weight))


def _complete(branch: Composition, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """A network that was saved before there was a divisor counts whole tokens."""
    if prefix + "weight" in state:
        state.setdefault(prefix + "divisor", torch.ones_like(branch.divisor))


def levelled(features: Float[Tensor, "batch feature"], count: int | Tensor) -> Float[Tensor, "batch feature"]:
    """The features of every record with a mean square of one.

    Args:
        count: how many features there are, without those that are always zero.
    """
    return F.normalize(features, dim=1).mul_(count**0.5)  # in place: a table of features may be large


def bounded(logits: Float[Tensor, "batch class"]) -> Float[Tensor, "batch class"]:
    """Log probabilities, none below `LEAST`."""
    return F.log_softmax(logits, dim=1).clamp(min=LEAST)
