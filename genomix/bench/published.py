"""The published formulation of a Paramixer, written from its description: gather every link's value, multiply, add up at the rows.

The non-zeros of a factor are a list of (row, column, value). The values of all links are gathered into an array [batch, row, link, channel], multiplied by their
weights, and added to their rows. As every row has equally many non-zeros, one after the other, that sum is a plain one over the links; done as a
scatter-add, as for any sparse matrix, it gives the same and takes longer, so the plain sum is the side to be measured against. The mixer takes its weights from
one of ours, so that both compute the same thing.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.layers import Perceptron
from genomix.nn.mixers import Paramixer


class PublishedMixer(nn.Module):
    """The mixer `ours`, for rings of exactly `length` positions, as published.

    Args:
        ours: with one head, and a perceptron for its values.
        scatter: add up by scatter-add.
    """

    def __init__(self, ours: Paramixer, length: int, *, scatter: bool = False) -> None:
        super().__init__()
        assert ours.heads == 1, "the published network has one head"
        self.value, self.factors, self.scatter = ours.value, ours.factors, scatter
        rows = torch.arange(length)[:, None]
        for number, offsets in enumerate(ours.offsets):
            same = number > 0 and offsets == ours.offsets[number - 1]  # all factors of CHORD share their columns
            columns = getattr(self, f"columns{number - 1}") if same else (rows + torch.tensor(offsets)) % length
            self.register_buffer(f"columns{number}", columns)

    def forward(self, hidden: Float[Tensor, "batch position channel"]) -> Float[Tensor, "batch position channel"]:
        mixed = _perceptron(self.value, hidden)
        for number, factor in enumerate(self.factors):
            products = _perceptron(factor, hidden)[..., None] * mixed[:, getattr(self, f"columns{number}")]
            mixed = (self._scattered(products) if self.scatter else products.sum(2)) + mixed
        return mixed

    @staticmethod
    def _scattered(products: Float[Tensor, "batch position link channel"]) -> Float[Tensor, "batch position channel"]:
        batch, length, links, channels = products.shape
        rows = torch.arange(length, device=products.device).repeat_interleave(links)[None, :, None].expand(batch, -1, channels)
        return products.new_zeros(batch, length, channels).scatter_add_(1, rows, products.flatten(1, 2))


def _perceptron(layers: nn.Module, hidden: Tensor) -> Tensor:
    assert isinstance(layers, Perceptron)
    w1, b1, w2, b2 = layers.weights
    return F.linear(F.gelu(F.linear(hidden, w1, b1)), w2, b2)
