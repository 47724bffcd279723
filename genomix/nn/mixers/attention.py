"""Softmax attention with rotary positions: every position of a record with every other, so the time grows with the square of the length.

Rotary embedding (Su et al., 2021, arXiv 2104.09864): each pair of channels of queries and keys is turned by an angle proportional to the position, so that a
score depends on the signed distance. Round a ring the distance is known modulo the record's length only, so there each pair turns a whole number of times:
the nearest to its linear rate. A ring thus has no beginning.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.layers import Pointwise, positions_inside
from genomix.nn.settings import MixerSettings

SLOWEST = 10_000.0
"""Positions in which the slowest pair of channels turns by about one radian."""


class Attention(nn.Module):
    """Multi-head softmax attention, masked by the records' lengths."""

    def __init__(self, channels: int, settings: MixerSettings) -> None:
        super().__init__()
        settings.check_channels(channels)
        self.heads = settings.heads
        self.query_key = Pointwise(channels, 2 * channels)
        self.value = Pointwise(channels, channels)
        self.out = Pointwise(channels, channels)
        pairs = channels // settings.heads // 2
        self.rates = [SLOWEST ** -(pair / pairs) for pair in range(pairs)]

    def forward(
        self,
        source: Float[Tensor, "batch channel position"],
        values: Float[Tensor, "batch channel position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel position"]:
        """Mix `values`, with queries and keys computed from `source`."""
        inside = positions_inside(lengths, values.shape[2])
        source, values = source.masked_fill(~inside, 0), values.masked_fill(~inside, 0)
        turns = self._turns(values, lengths, circular)
        query, key = (_turned(self._by_head(part), *turns) for part in self.query_key(source).chunk(2, dim=1))
        mask = None if bool(inside.all()) else inside[:, None]
        mixed = F.scaled_dot_product_attention(query, key, self._by_head(self.value(values)), attn_mask=mask)
        return self.out(mixed.transpose(2, 3).flatten(1, 2))

    def _by_head(self, hidden: Float[Tensor, "batch channel position"]) -> Float[Tensor, "batch head position size"]:
        return hidden.unflatten(1, (self.heads, -1)).transpose(2, 3)

    def _turns(
        self, like: Tensor, lengths: Int[Tensor, " batch"], circular: Bool[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch 1 position pair"], Float[Tensor, "batch 1 position pair"]]:
        """Cosine and sine of each pair's angle at each position; the angles in float64, for positions in the millions."""
        device = torch.device("cpu") if like.device.type == "mps" else like.device  # that has no float64
        rates = torch.tensor(self.rates, dtype=torch.float64, device=device).expand(len(lengths), -1)
        one_round = 2 * math.pi / lengths.to(device).double()[:, None]
        rates = torch.where(circular.to(device)[:, None], torch.round(rates / one_round) * one_round, rates)
        angles = torch.arange(like.shape[2], device=device)[:, None] * rates[:, None, None]
        return angles.cos().to(like.dtype).to(like.device), angles.sin().to(like.dtype).to(like.device)


def _turned(hidden: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Each pair (x, y) turned to (x cos - y sin, x sin + y cos); the first half of the channels pairs up with the second."""
    x, y = hidden.chunk(2, dim=3)
    return torch.cat([x * cosine - y * sine, x * sine + y * cosine], dim=3)
