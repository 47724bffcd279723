"""Do the sides of `genomix bench ops` compute the same? Values and every gradient, each operator against its definition, before any of them is timed."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.bench import operators
from genomix.bench.operators import DNA, DNA_WIDTH, WIDTH, Alone, autocast
from genomix.bench.peers import AttentionLayer, Convolutions, LongConvolution, Rotations
from genomix.bench.published import PublishedMixer
from genomix.nn.layers import Perceptron
from genomix.nn.mixers import MixerSettings, Paramixer, build_mixer
from genomix.nn.ops import reference

EXACT = 1e-10
"""Largest relative difference of two float64 computations of the same."""
ROUNDED = {"float32": 1e-4, "bfloat16": 5e-2}
"""The same, of a computation in that precision from one in float64."""
LENGTH = 512


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides, and by how much they differ: the largest difference of a value or gradient, relative to the largest number of its array."""

    name: str
    error: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        return self.error <= self.tolerance  # not so where the error is no number


def compare_all(device: str, dtype: str, chosen: Sequence[str]) -> list[Comparison]:
    """The published formulation always; of the operators those that are chosen."""
    found = [*_published(device, dtype)]
    for name in chosen:
        if name.startswith("paramixer") or name == "dna-recomputed":
            found.append(_paramixer(name, device, dtype))
        elif name in _PEERS:
            found.append(Comparison(f"{name}: against its definition (float64)", _PEERS[name](), EXACT))
    return found


def difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest relative difference of arrays in pairs; not a number where one is none."""
    largest = 0.0
    for one, other in zip(found, expected, strict=True):
        one, other = one.detach().double().cpu(), other.detach().double().cpu()  # noqa: PLW2901 - the same arrays, comparable
        error = float((one - other).abs().max() / other.abs().max().clamp(min=torch.finfo(torch.float64).tiny))
        if not error <= largest:
            largest = error
    return largest


def results(call: Callable[[Tensor], Tensor], hidden: Tensor, gradient: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The values of a call and its gradients for the input and the parameters."""
    hidden = hidden.detach().clone().requires_grad_()
    values = call(hidden)
    return [values, *torch.autograd.grad(values, [hidden, *parameters], gradient.to(values.dtype))]


def by_definition(mixer: Paramixer, hidden: Tensor, *, ring: bool) -> Tensor:
    """A Paramixer in plain torch, its links by `genomix.nn.ops.reference`; `hidden` is [batch, channel, position]."""
    batch, _, width = hidden.shape
    lengths, rings = torch.full((batch,), width, device=hidden.device), torch.full((batch,), ring, device=hidden.device)
    mixed = _rowwise(mixer.value, hidden)
    for factor, offsets in zip(mixer.factors, mixer.offsets, strict=True):
        weights = _rowwise(factor, hidden).view(batch, mixer.heads, len(offsets), width)
        mixed = mixed + reference.link_mix(mixed, weights, lengths, rings, offsets)
    return mixed


def _rowwise(layers: nn.Module, hidden: Tensor) -> Tensor:
    if isinstance(layers, Perceptron):
        w1, b1, w2, b2 = layers.weights
        return F.linear(F.gelu(F.linear(hidden.transpose(1, 2), w1, b1)), w2, b2).transpose(1, 2)
    assert isinstance(layers, nn.Linear)
    return F.linear(hidden.transpose(1, 2), layers.weight, layers.bias).transpose(1, 2)


def _published(device: str, dtype: str) -> Iterator[Comparison]:
    """Ours in float64 and as it is timed, both against the published formulation in float64, which a plain sum must give too."""
    torch.manual_seed(0)
    ours = Alone(Paramixer(DNA_WIDTH, LENGTH, DNA), ring=True).to(device)
    exact = deepcopy(ours).double()
    hidden, gradient = torch.randn(2, 2, DNA_WIDTH, LENGTH, dtype=torch.float64).to(device)
    expected = published_results(exact, hidden, gradient)
    name = "published formulation"
    parameters = list(exact.parameters())
    yield Comparison(f"dna: against the {name} (float64)", difference(results(exact, hidden, gradient, parameters), expected), EXACT)
    summed = published_results(exact, hidden, gradient, summed=True)
    yield Comparison(f"{name}, by a plain sum: against the scatter-add (float64)", difference(summed, expected), EXACT)
    timed = results(_within(ours, device, dtype), hidden.float(), gradient.float(), list(ours.parameters()))
    yield Comparison(f"dna: {dtype} against the {name} in float64", difference(timed, expected), ROUNDED[dtype])


def published_results(ours: Alone, hidden: Tensor, gradient: Tensor, *, summed: bool = False) -> list[Tensor]:
    """`results` of the published formulation with the same weights; channel-first, as ours gives them."""
    published = PublishedMixer(ours.mixer, hidden.shape[2], summed=summed).to(hidden.device)
    return results(lambda rows: published(rows.transpose(1, 2)).transpose(1, 2), hidden, gradient, list(ours.parameters()))


def _paramixer(name: str, device: str, dtype: str) -> Comparison:
    """As it is timed, on a record of a length that is no power of two, against the definition in float64."""
    torch.manual_seed(0)
    ours = operators.build(name, LENGTH - 1, device=device, dtype=dtype)
    exact = deepcopy(ours.module).double()
    assert isinstance(exact, Alone)
    mixer, hidden, gradient = exact.mixer, ours.input.double(), ours.gradient.double()
    expected = results(lambda rows: by_definition(mixer, rows, ring=exact.ring), hidden, gradient, list(exact.parameters()))
    found = results(_within(ours.module, device, dtype), ours.input, ours.gradient, list(ours.module.parameters()))
    return Comparison(f"{name}: {dtype} against the definition in float64", difference(found, expected), ROUNDED[dtype])


def _within(module: nn.Module, device: str, dtype: str) -> Callable[[Tensor], Tensor]:
    def call(hidden: Tensor) -> Tensor:
        with autocast(device, dtype)():
            return module(hidden)

    return call


def _library(kind: MixerSettings, ours: nn.Module, parameters: Sequence[nn.Parameter]) -> Callable[[Tensor], Tensor]:
    """The library's own mixer of that kind with the weights of ours, on a linear record; both channel-first."""
    mixer = build_mixer(kind, WIDTH, LENGTH).double()
    for theirs, own in zip(mixer.parameters(), parameters, strict=True):
        theirs.data = own.data.view_as(theirs)
    assert sum(p.numel() for p in ours.parameters()) >= sum(p.numel() for p in mixer.parameters())
    return lambda hidden: mixer(hidden, hidden, torch.tensor([hidden.shape[2]]), torch.tensor([False]))


def _against(expected: Callable[[Tensor], Tensor], found: Callable[[Tensor], Tensor], *, channel_first: bool) -> float:
    """Difference of two operators' values and gradients for a random input; `found` takes its own layout."""
    hidden, gradient = torch.randn(2, 1, WIDTH, LENGTH, dtype=torch.float64)

    def call(rows: Tensor) -> Tensor:
        return found(rows) if channel_first else found(rows.transpose(1, 2)).transpose(1, 2)

    return difference(results(call, hidden, gradient, []), results(expected, hidden, gradient, []))


def _attention() -> float:
    layer = AttentionLayer(WIDTH, 8).double()
    parts = [layer.query_key, layer.value, layer.out]
    expected = _library(MixerSettings(kind="attention", heads=1), layer, [p for part in parts for p in part.parameters()])
    return _against(expected, layer.attended, channel_first=False)


def _rotation() -> float:
    layers = Rotations(WIDTH, (LENGTH - 1).bit_length(), 8).double()
    ordered = [p for pair in zip(layers.norms, layers.perceptrons, strict=True) for part in pair for p in part.parameters()]
    return _against(_library(MixerSettings(kind="rotation", hidden=8), layers, ordered), layers, channel_first=False)


def _dense() -> float:
    layers = Convolutions(WIDTH, operators.layers(LENGTH)).double()
    return _against(_library(MixerSettings(kind="convolution"), layers, list(layers.parameters())), layers, channel_first=True)


def _grouped() -> float:
    layers = Convolutions(WIDTH, operators.layers(LENGTH), groups=16).double()

    def expected(hidden: Tensor) -> Tensor:
        mixed = layers.value(hidden)
        for layer in layers.layers:
            mixed = mixed + layer(mixed).relu()
        return mixed

    return _against(expected, layers, channel_first=True)


def _fft() -> float:
    """Against the sum over all earlier positions."""
    layer = LongConvolution(WIDTH, 8).double()

    def expected(signal: Tensor) -> Tensor:
        back = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
        matrices = torch.where(back >= 0, layer.kernel(LENGTH)[:, back.clamp(min=0)], 0)
        return torch.einsum("cij,bcj->bci", matrices, signal) + layer.skip[:, None] * signal

    return _against(expected, layer.convolved, channel_first=True)


_PEERS: dict[str, Callable[[], float]] = {
    "attention": _attention,
    "rotation": _rotation,
    "convolution": _grouped,
    "convolution-dense": _dense,
    "fft": _fft,
}
