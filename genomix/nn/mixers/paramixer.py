"""Paramixer: attention as a product of sparse factors whose non-zeros are computed by small perceptrons.

    v = g(values);   for m = 1 .. M:   v <- W_m v + v,   row i of W_m has at its links the outputs of f_m(source at position i)

Source: Yu, Khalitov, Cheng, Yang, "Paramixer", CVPR 2022, arXiv 2204.10670, equation 2 and section 3. Beyond the paper: several heads, which share a
perceptron but have their own link weights, and records of any length in one batch (see `genomix.nn.links`).
"""

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from genomix.nn.layers import Pointwise, perceptron
from genomix.nn.links import Protocol, factor_reach, link_offsets
from genomix.nn.ops import link_mix


class MixerSettings(BaseModel):
    """Shape of a Paramixer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: Protocol = "cdil"
    """Which positions a factor links."""
    links: int = Field(default=5, ge=3)
    """Links a position, CDIL only (odd); CHORD's follow from the length."""
    heads: int = Field(default=4, ge=1)
    """Runs of channels with link weights of their own."""
    hidden: int = Field(default=16, ge=1)
    """Width of each link perceptron's hidden layer."""
    value_hidden: int = Field(default=0, ge=0)
    """Width of the value perceptron's hidden layer; 0 is a plain linear layer."""
    start: str = Field(default="average", pattern="^(average|random)$")
    """Link weights at the start: near an average over the links at every scale, or as PyTorch initialises linear layers (the published way)."""

    @model_validator(mode="after")
    def _odd_links(self) -> "MixerSettings":
        if self.links % 2 == 0:
            raise ValueError(f"links must be odd (a position, and as many on either side), got {self.links}")
        return self


class Paramixer(nn.Module):
    """The mixer, for records of up to `max_length` positions.

    Raises:
        ValueError: the channels can't be shared out to the heads.
    """

    def __init__(self, channels: int, max_length: int, settings: MixerSettings) -> None:
        super().__init__()
        if channels % settings.heads:
            raise ValueError(f"{channels} channels can't be shared out to {settings.heads} heads")
        self.heads = settings.heads
        self.offsets = link_offsets(settings.protocol, max_length, settings.links)
        self.reach = factor_reach(settings.protocol, len(self.offsets), settings.links)
        hidden = settings.value_hidden
        self.value = perceptron(channels, hidden, channels) if hidden else Pointwise(channels, channels)
        self.factors = nn.ModuleList(self._factor(channels, len(links), settings) for links in self.offsets)

    def forward(
        self,
        source: Float[Tensor, "batch channel position"],
        values: Float[Tensor, "batch channel position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel position"]:
        """Mix `values`, with link weights computed from `source`. A record shorter than a factor's reach passes it unchanged."""
        mixed = self.value(values)
        batch, _, width = mixed.shape
        longest = int(lengths.max())
        for factor, offsets, reach in zip(self.factors, self.offsets, self.reach, strict=True):
            if longest <= reach:
                break
            weights = factor(source).view(batch, self.heads, len(offsets), width)
            taking_part = torch.where(lengths > reach, lengths, 0)
            mixed = mixed + link_mix(mixed, weights, taking_part, circular, offsets)
        return mixed

    @staticmethod
    def _factor(channels: int, links: int, settings: MixerSettings) -> nn.Sequential:
        """The perceptron f_m: a position's channels -> the weights of its links, for every head."""
        last = Pointwise(settings.hidden, settings.heads * links)
        if settings.start == "average":
            nn.init.normal_(last.weight, std=0.5 / settings.hidden**0.5 / links)
            nn.init.constant_(last.bias, 0.5 / links)
        return nn.Sequential(Pointwise(channels, settings.hidden), nn.GELU(), last)
