"""A linear map of every position's channels."""

import torch
from jaxtyping import Float
from torch import Tensor


def pointwise(
    hidden: Float[Tensor, "batch inputs position"], weight: Float[Tensor, "outputs inputs"], bias: Float[Tensor, " outputs"]
) -> Float[Tensor, "batch outputs position"]:
    """weight · hidden + bias."""
    # One product a record on a weight that is not copied: two to five times as fast on a CPU as torch.matmul, which lays the channels out anew.
    return torch.baddbmm(bias[None, :, None], weight.expand(len(hidden), -1, -1), hidden)
