"""What the operations on factors refuse: compiled code would take shapes on trust, and read and write elsewhere."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from genomix.nn.ops.problem import Weights


def check_perceptron(source: Tensor, weights: Weights) -> None:
    """Whether such a perceptron takes this source.

    Raises:
        ValueError: it doesn't.
    """
    if source.dim() != 3:
        raise ValueError(f"a source is [batch, input, position], got {_shape(source)}")
    hidden, outputs = len(weights[0]), len(weights[2])
    _check(zip(("w1", "b1", "w2", "b2"), weights, ((hidden, source.shape[1]), (hidden,), (outputs, hidden), (outputs,)), strict=True))


def check_factors(
    source: Tensor,
    values: Tensor,
    perceptrons: Sequence[Weights],
    lengths: Sequence[Tensor],
    circular: Tensor,
    offsets: Sequence[tuple[int, ...]],
    heads: int,
) -> None:
    """Whether these belong together, see `genomix.nn.ops.chain.factors`. What the lengths are is not looked at, as a GPU would be waited for: mixers do.

    Raises:
        ValueError: they don't.
    """
    if values.dim() != 3 or source.dim() != 3 or values.shape[::2] != source.shape[::2]:
        raise ValueError(f"source {_shape(source)} and values {_shape(values)} are not of the same records and positions")
    if values.shape[1] % heads:
        raise ValueError(f"{values.shape[1]} channels can't be shared out to {heads} heads")
    if circular.dtype != torch.bool:
        raise ValueError(f"circular is true or false, got {circular.dtype}")
    batch = (len(values),)
    _check([("circular", circular, batch), *(("lengths", each, batch) for each in lengths)])
    for weights, links in zip(perceptrons, offsets, strict=True):
        check_perceptron(source, weights)
        if len(weights[2]) != heads * len(links):
            raise ValueError(
                f"{heads} heads of {len(links)} links need {heads * len(links)} outputs, and the perceptron has {len(weights[2])}"
            )


def _check(found: Iterable[tuple[str, Tensor, tuple[int, ...]]]) -> None:
    for name, tensor, shape in found:
        if tensor.shape != shape:
            raise ValueError(f"{name} has the shape {_shape(tensor)}, and {shape} is needed")


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
