"""The published formulation of a Paramixer, written from its description: gather every link's value, multiply, scatter-add to the rows.

The non-zeros of a factor are a list of (row, column, value), as for any sparse matrix: the values at all columns are gathered into an array [batch, non-zero, channel],
multiplied by their weights, and added to their rows. The published code leaves this to `torch_sparse.spmm`, which does just that. As every row has equally many
non-zeros, one after the other, a plain sum over the links gives the same and is faster (`summed`); nobody published it so, and it is measured beside. The mixer
takes its weights from one of ours, so that both compute the same thing.
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
        summed: add up by a plain sum over the links.
    """

    def __init__(self, ours: Paramixer, length: int, *, summed: bool = False) -> None:
        super().__init__()
        assert ours.heads == 1, "the published network has one head"
        self.value, self.factors, self.summed = ours.value, ours.factors, summed
        rows = torch.arange(length)[:, None]
        for number, offsets in enumerate(ours.offsets):
            same = number > 0 and offsets == ours.offsets[number - 1]  # all factors of CHORD share their columns
            columns = getattr(self, f"columns{number - 1}") if same else (rows + torch.tensor(offsets)) % length
            self.register_buffer(f"columns{number}", columns)

    def forward(self, hidden: Float[Tensor, "batch position channel"]) -> Float[Tensor, "batch position channel"]:
        mixed = _perceptron(self.value, hidden)
        for number, factor in enumerate(self.factors):
            weights, columns = _perceptron(factor, hidden), getattr(self, f"columns{number}")
            products = mixed.index_select(1, columns.flatten()) * weights.flatten(1)[..., None]
            mixed = self._rows(products, links=columns.shape[1]) + mixed
        return mixed

    def _rows(self, products: Float[Tensor, "batch nonzero channel"], *, links: int) -> Float[Tensor, "batch position channel"]:
        batch, count, channels = products.shape
        if self.summed:
            return products.unflatten(1, (-1, links)).sum(2)
        rows = torch.arange(count // links, device=products.device).repeat_interleave(links)[None, :, None].expand(batch, -1, channels)
        return products.new_zeros(batch, count // links, channels).scatter_add_(1, rows, products)


def _perceptron(layers: nn.Module, hidden: Tensor) -> Tensor:
    assert isinstance(layers, Perceptron)
    w1, b1, w2, b2 = layers.weights
    return F.linear(F.gelu(F.linear(hidden, w1, b1)), w2, b2)
