"""Circular dilated convolutions, CDIL-CNN (Cheng, Khalitov, Yu, Yang, 2022, arXiv 2201.02143): kernels that are the same at every position.

    v <- values;   for m = 1 .. M:   v <- ReLU(convolution of v with dilation 2^(m-1)) + v

Its taps are where CDIL's links are, so layer m, the number of layers, the ring of a circular record and the open ends of a linear one are those of a
Paramixer with the CDIL protocol; what differs is that a tap maps all channels to all channels by learned weights, and no weight is computed from the data.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.layers import positions_inside
from genomix.nn.links import factor_reach, link_offsets
from genomix.nn.mixers.shifts import shifted
from genomix.nn.settings import MixerSettings


class DilatedConvolution(nn.Module):
    """Dilated convolutions until every position has seen every other, for records of up to `max_length` positions."""

    def __init__(self, channels: int, max_length: int, settings: MixerSettings) -> None:
        super().__init__()
        self.offsets = [sorted(offsets) for offsets in link_offsets("cdil", max_length, settings.links)]
        self.reach = factor_reach("cdil", len(self.offsets), settings.links)
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, settings.links, padding=offsets[-1], dilation=2**m) for m, offsets in enumerate(self.offsets)
        )

    def forward(
        self,
        source: Float[Tensor, "batch channel position"],  # noqa: ARG002 - its weights depend on nothing
        values: Float[Tensor, "batch channel position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel position"]:
        """Mix `values`; `source` is not looked at. A record shorter than a layer's reach passes it unchanged."""
        inside = positions_inside(lengths, values.shape[2])
        mixed = values.masked_fill(~inside, 0)
        longest = int(lengths.max())
        for layer, offsets, reach in zip(self.layers, self.offsets, self.reach, strict=True):
            if longest <= reach:
                break
            seen = inside & (lengths > reach)[:, None, None]
            mixed = mixed + self._convolved(layer, mixed, lengths, circular, offsets).relu().masked_fill(~seen, 0)
        return mixed

    @staticmethod
    def _convolved(layer: nn.Module, values: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> Tensor:
        """PyTorch's convolution where all ends are open; else tap by tap, each with its own way round the rings."""
        assert isinstance(layer, nn.Conv1d)
        if not bool(circular.any()):
            return layer(values)
        taps = torch.cat([shifted(values, lengths, circular, offset) for offset in offsets], dim=1)
        return F.conv1d(taps, layer.weight.transpose(1, 2).flatten(1)[:, :, None], layer.bias)
