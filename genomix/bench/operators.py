"""What can be measured by name, each an operator with its input, ready to make a training step.

Operators of width 64 are brought to the same number of parameters as the Paramixer with CDIL links (within a tenth); the widths that allow it are worked out
here. Exceptions, as their tables say: `convolution-dense`, CDIL-CNN as published, with a dozen times as many, and `paramixer-chord`, whose factors have more links. The `dna` are the published network's mixer for DNA:
as it is, with every second factor computed again in the backward pass, and in the published formulation.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from genomix.bench.peers import AttentionLayer, Convolutions, LongConvolution, Rotations
from genomix.bench.published import PublishedMixer
from genomix.nn.links import factor_count
from genomix.nn.mixers import MixerSettings, Paramixer

WIDTH = 64
DNA_WIDTH, DNA_LENGTH, DNA_BATCH = 32, 16_384, 2
"""The published network for DNA: channels, positions, and the batch that it is measured with."""
DNA = MixerSettings(protocol="chord", heads=1, hidden=128, value_hidden=128, start="random")
CDIL = MixerSettings()
CHORD = MixerSettings(protocol="chord")


class Alone(nn.Module):
    """A Paramixer on records that fill their rows, source and values the same."""

    def __init__(self, mixer: Paramixer, *, ring: bool) -> None:
        super().__init__()
        self.mixer, self.ring = mixer, ring

    def forward(self, hidden: Tensor) -> Tensor:
        batch, _, width = hidden.shape
        lengths = torch.full((batch,), width, device=hidden.device)
        return self.mixer(hidden, hidden, lengths, torch.full((batch,), self.ring, device=hidden.device))


@dataclass(slots=True)
class Case:
    """An operator with an input and the gradient of its result, both in the operator's own layout."""

    module: nn.Module
    input: Tensor
    gradient: Tensor
    precision: Callable[[], AbstractContextManager[object]] = field(default=nullcontext)

    @property
    def parameters(self) -> int:
        return count(self.module)

    def train(self) -> list[Tensor]:
        """One step: the result's gradients for the input and every parameter."""
        with self.precision():
            result = self.module(self.input)
        return list(torch.autograd.grad(result, [self.input, *self.module.parameters()], self.gradient.to(result.dtype)))

    def infer(self) -> Tensor:
        with torch.no_grad(), self.precision():
            return self.module(self.input)


def _dna(length: int) -> Paramixer:
    return Paramixer(DNA_WIDTH, length, DNA)


def _recomputed(alone: Alone) -> Alone:
    alone.mixer.recompute = True
    return alone


OPERATORS: dict[str, tuple[Callable[[int], nn.Module], int, bool]] = {
    "paramixer-cdil": (lambda length: Alone(Paramixer(WIDTH, length, CDIL), ring=False), WIDTH, True),
    "paramixer-chord": (lambda length: Alone(Paramixer(WIDTH, length, CHORD), ring=False), WIDTH, True),
    "attention": (lambda length: _filled(lambda fill: AttentionLayer(WIDTH, fill), length), WIDTH, False),
    "convolution": (lambda length: Convolutions(WIDTH, layers(length), groups=16), WIDTH, True),
    "convolution-dense": (lambda length: Convolutions(WIDTH, layers(length)), WIDTH, True),
    "rotation": (lambda length: _filled(lambda fill: Rotations(WIDTH, (length - 1).bit_length(), fill), length), WIDTH, False),
    "fft": (lambda length: _filled(lambda fill: LongConvolution(WIDTH, fill), length), WIDTH, True),
    "dna": (lambda length: Alone(_dna(length), ring=True), DNA_WIDTH, True),
    "dna-recomputed": (lambda length: _recomputed(Alone(_dna(length), ring=True)), DNA_WIDTH, True),
    "dna-published": (lambda length: PublishedMixer(_dna(length), length), DNA_WIDTH, False),
}
"""Name -> what builds it for a length, its channels, whether it works channel-first."""


def build(name: str, length: int, *, batch: int = 1, device: str = "cpu", dtype: str = "float32", seed: int = 0) -> Case:
    """The operator of that name on random values.

    Args:
        dtype: `float32`, or `bfloat16`: products in bfloat16, weights in float32, as training does.
    """
    make, channels, channel_first = OPERATORS[name]
    torch.manual_seed(seed)
    module = make(length)
    rows = torch.randn(2, batch, length, channels)
    values, gradient = (rows.transpose(2, 3).contiguous() if channel_first else rows).to(device)
    return Case(module.to(device), values.requires_grad_(), gradient, autocast(device, dtype))


def autocast(device: str, dtype: str) -> Callable[[], AbstractContextManager[object]]:
    """What a step runs in."""
    return nullcontext if dtype == "float32" else lambda: torch.autocast(device, torch.bfloat16)


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def target(length: int) -> int:
    """Parameters that every operator of width 64 gets for that length, within a tenth: the Paramixer's with CDIL links."""
    with torch.device("meta"):
        return count(Paramixer(WIDTH, length, CDIL))


def layers(length: int) -> int:
    """Dilated convolutions until every position of a record of that length has seen every other."""
    return factor_count("cdil", length, CDIL.links)


def _filled(make: Callable[[int], nn.Module], length: int) -> nn.Module:
    """The member of a family of modules of growing width whose parameters come nearest to the target."""
    wanted = target(length)

    def size(fill: int) -> int:
        with torch.device("meta"):
            return count(make(fill))

    fill = 1
    while size(fill) < wanted:
        fill += 1
    best = fill if fill == 1 or size(fill) - wanted < wanted - size(fill - 1) else fill - 1
    return make(best)
