"""What a factor, or a perceptron alone, is computed from."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Problem:
    """One factor's inputs, as `genomix.nn.ops.chain.factors` takes them; position-first in the hands of `native`."""

    source: Tensor
    values: Tensor | None
    """None: the perceptron's outputs themselves are asked for."""
    perceptron: tuple[Tensor, Tensor, Tensor, Tensor]
    """w1 [hidden, source channel], b1 [hidden], w2 [head · link, hidden], b2 [head · link]."""
    lengths: Tensor
    circular: Tensor
    offsets: tuple[int, ...]
    heads: int
