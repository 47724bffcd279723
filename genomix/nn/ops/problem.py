"""What a factor, or a perceptron alone, is computed from."""

from dataclasses import dataclass

from torch import Tensor

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of a perceptron: w1 [hidden, input], b1 [hidden], w2 [output, hidden], b2 [output]."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One factor's inputs, as `genomix.nn.ops.chain.factors` takes them; position-first in the hands of `native`."""

    source: Tensor
    values: Tensor | None
    """None: the perceptron's outputs themselves are asked for."""
    perceptron: Weights
    """Its outputs are [head · link]."""
    lengths: Tensor
    circular: Tensor
    offsets: tuple[int, ...]
    heads: int
