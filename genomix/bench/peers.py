"""Other ways to mix long sequences, in plain torch: what the Paramixer is measured beside.

They are the library's own mixers (`genomix.nn.mixers`) for one linear record that fills its row, so without the masks that batches of several records need; the
comparison (`equality.py`) holds them against those. The long convolution is here only. Each takes a width `fill` by which its parameters are brought to a
given number (`operators.py`), and works in the layout that it is fastest in.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.layers import Pointwise
from genomix.nn.mixers.attention import SLOWEST

_PHASES = 16
"""From this dilation on a convolution is done phase by phase, which is up to three times as fast in PyTorch on a CPU; below, the other way is."""


class AttentionLayer(nn.Module):
    """Softmax attention of one head with rotary positions, and a perceptron of hidden width `fill` behind it, as a transformer's layer has."""

    rates: Tensor

    def __init__(self, channels: int, fill: int) -> None:
        super().__init__()
        self.query_key, self.value, self.out = (
            nn.Linear(channels, 2 * channels),
            nn.Linear(channels, channels),
            nn.Linear(channels, channels),
        )
        self.perceptron = nn.Sequential(nn.Linear(channels, fill), nn.GELU(), nn.Linear(fill, channels))
        pairs = channels // 2
        self.register_buffer("rates", torch.tensor([SLOWEST ** -(pair / pairs) for pair in range(pairs)], dtype=torch.float64))

    def forward(self, hidden: Float[Tensor, "batch position channel"]) -> Float[Tensor, "batch position channel"]:
        mixed = self.attended(hidden)
        return mixed + self.perceptron(mixed)

    def attended(self, hidden: Float[Tensor, "batch position channel"]) -> Float[Tensor, "batch position channel"]:
        angles = torch.arange(hidden.shape[1], device=hidden.device)[:, None] * self.rates
        turns = angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)
        query, key = (_turned(part, *turns)[:, None] for part in self.query_key(hidden).chunk(2, dim=2))
        return self.out(F.scaled_dot_product_attention(query, key, self.value(hidden)[:, None])[:, 0])


def _turned(hidden: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    x, y = hidden.chunk(2, dim=2)
    return torch.cat([x * cosine - y * sine, x * sine + y * cosine], dim=2)


class Convolutions(nn.Module):
    """CDIL-CNN: dilated convolutions until every position has seen every other, each with ReLU and a residual.

    Args:
        groups: 1 maps all channels to all channels, as published; more have fewer parameters, and then a linear layer on each position comes first, so
            that groups meet.
    """

    def __init__(self, channels: int, layers: int, *, links: int = 5, groups: int = 1) -> None:
        super().__init__()
        self.value = Pointwise(channels, channels) if groups > 1 else nn.Identity()
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, links, padding=(links - 1) // 2 * 2**m, dilation=2**m, groups=groups) for m in range(layers)
        )

    def forward(self, hidden: Float[Tensor, "batch channel position"]) -> Float[Tensor, "batch channel position"]:
        mixed = self.value(hidden)
        for layer in self.layers:
            mixed = mixed + _convolved(layer, mixed).relu_()
        return mixed


def _convolved(layer: nn.Module, hidden: Tensor) -> Tensor:
    """The same numbers as `layer(hidden)`: with positions laid out as (length / dilation) · dilation, taps that far apart are neighbours in a column."""
    assert isinstance(layer, nn.Conv1d)
    dilation, length = layer.dilation[0], hidden.shape[2]
    if dilation < _PHASES or length % dilation or hidden.device.type != "cpu":
        return layer(hidden)
    columns = hidden.unflatten(2, (-1, dilation))
    padding = (layer.kernel_size[0] // 2, 0)
    return F.conv2d(columns, layer.weight[..., None], layer.bias, padding=padding, groups=layer.groups).flatten(2)


class Rotations(nn.Module):
    """ChordMixer: perceptrons of hidden width `fill` on each position, and between them groups of channels moved by 0, 1, 2, 4, ... positions."""

    def __init__(self, channels: int, layers: int, fill: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(channels, eps=1e-6) for _ in range(layers))
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, fill), nn.GELU(), nn.Linear(fill, channels)) for _ in range(layers)
        )

    def forward(self, hidden: Float[Tensor, "batch position channel"]) -> Float[Tensor, "batch position channel"]:
        for norm, perceptron in zip(self.norms, self.perceptrons, strict=True):
            hidden = hidden + self._rotated(perceptron(norm(hidden)))
        return hidden

    def _rotated(self, hidden: Tensor) -> Tensor:
        first, *others = hidden.tensor_split(len(self.norms) + 1, dim=2)
        moved = (F.pad(group, (0, 0, 0, 2**power))[:, 2**power :] for power, group in enumerate(others))
        return torch.cat([first, *moved], dim=2)


class LongConvolution(nn.Module):
    """Hyena of order 2 (Poli et al., ICML 2023, arXiv 2302.10866): out = linear(x0 · (filter * (x1 · v))), with x0, x1, v from a linear layer and a short
    convolution, and a filter as long as the record, which a perceptron of three hidden layers of width `fill` gives as a function of the position.

    The product of Fourier transforms of twice the length is the causal convolution. Transforms are float32 in any precision.
    """

    SHORT, FEATURES, SPEED = 3, 5, 10.0
    FAST, SLOW, TARGET = 0.3, 1.5, 1e-2
    """Positions, as parts of the record, within which the fastest and the slowest channel's window falls to the target, as published."""
    decay: Tensor

    def __init__(self, channels: int, fill: int) -> None:
        super().__init__()
        self.inward, self.outward = Pointwise(channels, 3 * channels), Pointwise(channels, channels)
        self.short = nn.Conv1d(3 * channels, 3 * channels, self.SHORT, padding=self.SHORT - 1, groups=3 * channels)
        sizes = (self.FEATURES, fill, fill, fill)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(fill, channels, bias=False)
        self.skip = nn.Parameter(torch.randn(channels))
        self.register_buffer("decay", torch.linspace(math.log(self.TARGET) / self.FAST, math.log(self.TARGET) / self.SLOW, channels).abs())

    def forward(self, hidden: Float[Tensor, "batch channel position"]) -> Float[Tensor, "batch channel position"]:
        length = hidden.shape[2]
        x0, x1, v = self.short(self.inward(hidden))[:, :, :length].chunk(3, dim=1)
        return self.outward(x0 * self.convolved(x1 * v))

    def convolved(self, signal: Float[Tensor, "batch channel position"]) -> Float[Tensor, "batch channel position"]:
        """The filter's causal convolution with the signal, and the signal itself, weighed."""
        length = signal.shape[2]
        signal, kernel = (each if each.dtype == torch.float64 else each.float() for each in (signal, self.kernel(length)))
        product = torch.fft.rfft(signal, n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
        return torch.fft.irfft(product, n=2 * length)[..., :length] + self.skip[:, None] * signal

    def kernel(self, length: int) -> Float[Tensor, "channel position"]:
        """The filter at every position of a record."""
        place = torch.linspace(0, 1, length, device=self.skip.device, dtype=self.skip.dtype)[:, None]
        bands = torch.arange(1, (self.FEATURES - 1) // 2 + 1, device=place.device) * (2 * math.pi) * place
        hidden = torch.cat([place, bands.cos(), bands.sin()], dim=1)
        for layer in self.layers:
            hidden = (self.SPEED * layer(hidden)).sin_()
        return (self.last(hidden) * torch.exp(-place * self.decay)).t()
