"""One Paramixer block at the published DNA settings: ours against the published formulation (gather, multiply, add).

N = 16,384 positions, 32 channels, CHORD, 14 factors, link perceptrons 32-128-15, batch 2, float32.
"""

import torch
from surroundings import arguments, in_turn, with_tuned_allocator, write

from genomix.nn.links import link_offsets
from genomix.nn.mixers import MixerSettings, Paramixer

PUBLISHED = MixerSettings(protocol="chord", heads=1, hidden=128, value_hidden=128, start="random")
CHANNELS, BATCH = 32, 2


class PublishedMixer(torch.nn.Module):
    """The published formulation: every link's value is gathered into an array [batch, position, link, channel], weighed and summed."""

    def __init__(self, ours: Paramixer, length: int) -> None:
        super().__init__()
        self.value = ours.value
        self.factors = ours.factors
        offsets = torch.tensor(link_offsets("chord", length, 5)[0])
        self.register_buffer("columns", (torch.arange(length)[:, None] + offsets) % length)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = self.rowwise(self.value, x)
        for factor in self.factors:
            v = (self.rowwise(factor, x)[..., None] * v[:, self.columns]).sum(2) + v
        return v

    @staticmethod
    def rowwise(layers: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.gelu(torch.nn.functional.linear(x, layers.first.weight, layers.first.bias))
        return torch.nn.functional.linear(hidden, layers.last.weight, layers.last.bias)


def both(length: int, dtype: torch.dtype) -> tuple:
    torch.manual_seed(0)
    ours = Paramixer(CHANNELS, length, PUBLISHED).to(dtype)
    x = torch.randn(BATCH, length, CHANNELS, dtype=dtype, requires_grad=True)
    lengths, circular = torch.full((BATCH,), length), torch.ones(BATCH, dtype=torch.bool)
    published = PublishedMixer(ours, length)

    def by_ours() -> torch.Tensor:
        rows = x.transpose(1, 2)
        return ours(rows, rows, lengths, circular).transpose(1, 2)

    return by_ours, lambda: published(x), [x, *ours.parameters()]


def require_equal(length: int = 1024) -> float:
    """Largest relative difference of values and gradients in float64; refuses to go on when it is not rounding."""
    ours, published, inputs = both(length, torch.float64)
    found, expected = ([out := side(), *torch.autograd.grad(out.square().sum(), inputs)] for side in (ours, published))
    error = max(float(((a - b).abs().max() / b.abs().max()).detach()) for a, b in zip(found, expected, strict=True))
    if error > 1e-10:
        raise SystemExit(f"the two sides differ by {error:.1e}: no speed is worth printing")
    return error


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--length", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with_tuned_allocator()
    error = require_equal()
    ours, published, inputs = both(asked.length, torch.float32)

    def step(side):
        return lambda: torch.autograd.grad(side().square().sum(), inputs)

    def inference(side):
        return torch.no_grad()(side)

    training = in_turn({"ours": step(ours), "published": step(published)}, asked.rounds)
    inferring = in_turn({"ours": inference(ours), "published": inference(published)}, asked.rounds)
    figures = {
        "length": asked.length,
        "relative_error_float64": error,
        "train_speedup": training["published"] / training["ours"],
        "inference_speedup": inferring["published"] / inferring["ours"],
        "train_seconds": training,
        "inference_seconds": inferring,
        "threads": torch.get_num_threads(),
    }
    print(f"N = {asked.length:,}: values and gradients agree to {error:.1e} (float64, N = 1,024)")
    print(f"training step: {figures['train_speedup']:.2f} times the published formulation's speed")
    print(f"inference:     {figures['inference_speedup']:.2f} times")
    write(asked.json, figures)


if __name__ == "__main__":
    main()
