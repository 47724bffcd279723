"""Paramixer: attention as a product of sparse factors whose non-zeros are computed by small perceptrons.

    v = g(values);   for m = 1 .. M:   v <- W_m v + v,   row i of W_m has at its links the outputs of f_m(source at position i)

Source: Yu, Khalitov, Cheng, Yang, "Paramixer", CVPR 2022, arXiv 2204.10670, equation 2 and section 3. Beyond the paper: several heads, which share a
perceptron but have their own link weights, and records of any length in one batch (see `genomix.nn.links`). With static weights f_m is a constant: what is learned is one
weight a link and head, the same at every position of every record.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from genomix.nn import ops
from genomix.nn.layers import Perceptron, Pointwise
from genomix.nn.links import factor_reach, link_offsets
from genomix.nn.settings import MixerSettings

MOST_KEPT = 3 << 29
"""Bytes of what goes into its factors that a mixer keeps on a CPU for the backward pass, about; what is beyond is computed again there."""
_LEAST_KEPT = 4
"""What goes into one factor of so many is kept all the same: with fewer, computing the others again holds as much at once as is saved."""


class Paramixer(nn.Module):
    """The mixer, for records of up to `max_length` positions.

    Attributes:
        recompute: keep for the backward pass what goes into every second factor at most, and compute what goes into the others again there. Off at first.

    Raises:
        ValueError: the channels can't be shared out to the heads.
    """

    def __init__(self, channels: int, max_length: int, settings: MixerSettings) -> None:
        super().__init__()
        settings.check_channels(channels)
        self.heads, self.max_length, self.recompute = settings.heads, max_length, False
        self.offsets = link_offsets(settings.protocol, max_length, settings.links)
        self.reach = factor_reach(settings.protocol, len(self.offsets), settings.links)
        hidden = settings.value_hidden
        self.value = Perceptron(channels, hidden, channels) if hidden else Pointwise(channels, channels)
        self.factors = nn.ModuleList(_factor(channels, len(links), settings) for links in self.offsets)

    def forward(
        self,
        source: Float[Tensor, "batch channel position"],
        values: Float[Tensor, "batch channel position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel position"]:
        """Mix `values`, with link weights computed from `source`. A record no longer than a factor's reach passes it unchanged.

        Raises:
            ValueError: lengths below zero, or above the positions that there are or those that the mixer is for.
        """
        mixed = self.value(values)
        shortest, longest = torch.stack(lengths.aminmax()).tolist()
        if longest > values.shape[2] or shortest < 0:  # compiled factors would write elsewhere
            raise ValueError(f"lengths from {shortest} to {longest}, and there are {values.shape[2]} positions")
        if longest > self.max_length:
            raise ValueError(f"a record of {longest} positions, and the mixer is for up to {self.max_length}")
        count = sum(1 for reach in self.reach if longest > reach)
        taking_part = [lengths if shortest > reach else torch.where(lengths > reach, lengths, 0) for reach in self.reach[:count]]
        if not count:
            return mixed
        if isinstance(self.factors[0], StaticWeights):
            for factor, offsets, taking in zip(self.factors[:count], self.offsets[:count], taking_part, strict=True):
                weights = factor(source).view(len(source), self.heads, len(offsets), -1)
                mixed = mixed + ops.link_mix(mixed, weights, taking, circular, offsets)
            return mixed
        perceptrons = [factor.weights for factor in self.factors[:count] if isinstance(factor, Perceptron)]
        kept = inputs_kept(mixed.nbytes, count) if mixed.device.type == "cpu" else count
        if self.recompute:
            kept = min(kept, (count + 1) // 2)
        return ops.factors(source, mixed, perceptrons, taking_part, circular, self.offsets[:count], heads=self.heads, kept=kept)


def inputs_kept(size: float, factors: int) -> int:
    """Of how many factors a mixer keeps on a CPU what goes into them.

    Args:
        size: bytes of what goes into one.
    """
    return min(factors, max(int(MOST_KEPT // size), -(-factors // _LEAST_KEPT)))


class StaticWeights(nn.Module):
    """A factor's link weights as parameters: what stands in for its perceptron when nothing is computed from the data."""

    def __init__(self, links: int, settings: MixerSettings) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((settings.heads * links, 1), 0.5 / links))
        if settings.start == "random":
            nn.init.uniform_(self.weight, -(links**-0.5), links**-0.5)  # as PyTorch starts a depthwise convolution of so many taps

    def forward(self, source: Float[Tensor, "batch channel position"]) -> Float[Tensor, "batch weights position"]:
        return self.weight.expand(len(source), -1, source.shape[2])


def _factor(channels: int, links: int, settings: MixerSettings) -> Perceptron | StaticWeights:
    """The perceptron f_m, or the constants in its place: a position's channels -> the weights of its links, for every head."""
    if settings.weights == "static":
        return StaticWeights(links, settings)
    perceptron = Perceptron(channels, settings.hidden, settings.heads * links)
    if settings.start == "average":
        nn.init.normal_(perceptron.last.weight, std=0.5 / settings.hidden**0.5 / links)
        nn.init.constant_(perceptron.last.bias, 0.5 / links)
    return perceptron
