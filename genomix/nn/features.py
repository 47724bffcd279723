"""A look at what a network hands to its last layer: the record as the network sees it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def last_layer(network: nn.Module) -> nn.Linear:
    """The last linear layer of `network.head`, which gives the logits."""
    return [module for module in network.get_submodule("head").modules() if isinstance(module, nn.Linear)][-1]


@contextmanager
def head_inputs(network: nn.Module, *, collect: bool = True) -> Iterator[list[Tensor]]:
    """While the block runs, collects what the last layer is given, [batch, feature], one tensor a forward pass; nothing where `collect` is off."""
    seen: list[Tensor] = []
    if not collect:
        yield seen
        return
    hook = last_layer(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        yield seen
    finally:
        hook.remove()
