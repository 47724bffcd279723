"""Mixing switched off: each position keeps its own values. What a network loses by it is what its mixing was good for."""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class NoMixing(nn.Module):
    """Gives back the values, without a parameter."""

    def forward(
        self,
        source: Float[Tensor, "batch channel position"],  # noqa: ARG002 - the signature of a mixer
        values: Float[Tensor, "batch channel position"],
        lengths: Int[Tensor, " batch"],  # noqa: ARG002 - nothing moves
        circular: Bool[Tensor, " batch"],  # noqa: ARG002 - nothing moves
    ) -> Float[Tensor, "batch channel position"]:
        return values
