"""A running average of the weights: what is validated and kept.

Single updates on sixteen records jump about; the average of the last hundred or so does not, and answers unseen records better (Polyak & Juditsky, SIAM J.
Control Optim. 30, 1992).
"""

import copy

import torch
from torch import nn


class AveragedWeights:
    """An exponential average of a network's weights and running figures, kept in a network of its own.

    Args:
        memory: updates that the average looks back on; fewer at the start, so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, *, memory: int) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self.memory = memory

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after update number `step`, from 1."""
        share = 1 / min(self.memory, 1 + step / 10)
        for kept, new in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, share)
            else:
                kept.copy_(new)
