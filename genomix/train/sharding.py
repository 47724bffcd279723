"""A network whose optimizer's state, and between updates whose weights, are shared out over the processes of a run (FSDP2, `train.strategy = "fsdp"`).

The network is one unit of sharding: the processes read different numbers of parts of different lengths, so they could not meet at every block. Its weights are
brought together once an update, for the average and for the next forward pass, and shared out again when the gradients are known. A checkpoint is the same
whether the network was sharded or not.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer


def strategy(world: int, patience: timedelta) -> ModelParallelStrategy:
    """Fabric's, for so many processes that share one copy of the weights."""

    def share_out(update: nn.Module, mesh: DeviceMesh) -> nn.Module:
        # Not resharded after the forward pass: the backward pass, which follows at once, would bring all together again.
        fully_shard(update, mesh=mesh["data_parallel"], reshard_after_forward=False)
        return update

    return ModelParallelStrategy(share_out, data_parallel_size=world, tensor_parallel_size=1, timeout=patience)


def bring_together(model: nn.Module) -> None:
    """Have the whole weights in the parameters of a sharded model, until its next gradients are known; other models are left as they are."""
    if (sharded := _sharded(model)) is not None:
        sharded.unshard()


def backward(fabric: Fabric, model: nn.Module, loss: Tensor) -> None:
    """Leave the gradients of the loss in the parameters, averaged over the processes.

    The processes of a sharded model add up all gradients as one long vector, so each must have as many of them: for a weight that only others used it adds
    zeros (short records leave the last factors out, and a process may have no record). A weight that no process used has no gradient, as without sharding.
    """
    if (sharded := _sharded(model)) is None:
        fabric.backward(loss)
        return
    reached = {id(leaf) for leaf in _leaves(loss)}
    weights = list(sharded.parameters())
    users = torch.tensor([id(weight) in reached for weight in weights], dtype=torch.int32, device=loss.device)
    dist.all_reduce(users)
    missed = [weight for weight, count in zip(weights, users.tolist(), strict=True) if count and id(weight) not in reached]
    fabric.backward(loss + sum(weight.flatten()[0] * 0 for weight in missed))


def whole(state: Any, *, keep: bool = True) -> Any:
    """A state without shares: each tensor brought together, in the main memory. All processes must call this together.

    Args:
        keep: whether this process wants them; it has None in their places otherwise.
    """
    if isinstance(state, DTensor):
        together = state.full_tensor()
        return together.cpu() if keep else None
    if isinstance(state, dict):
        return {key: whole(value, keep=keep) for key, value in state.items()}
    return [whole(value, keep=keep) for value in state] if isinstance(state, list) else state


def load_weights(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Take up what `whole` made of the model's state."""
    own = model.state_dict()
    model.load_state_dict({name: _shared_like(own[name], tensor) for name, tensor in state.items()})


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Take up what `whole` made of the optimizer's state."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    of_weights = {
        number: {name: _shared_like(weights[number], each) if each.shape == weights[number].shape else each for name, each in of.items()}
        for number, of in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": of_weights})


def _shared_like(own: Tensor, tensor: Tensor) -> Tensor:
    if not isinstance(own, DTensor):
        return tensor
    return distribute_tensor(tensor.to(own.device), own.device_mesh, own.placements)


def _sharded(model: nn.Module) -> Any:
    """What is sharded of a model that Fabric set up, an `FSDPModule`; None where nothing is."""
    inner = getattr(model, "module", model)
    return inner if isinstance(inner, FSDPModule) else None


def _leaves(loss: Tensor) -> Iterator[Tensor]:
    """The tensors that the backward pass leaves gradients in."""
    seen: set[Node] = set()
    ahead = [loss.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        ahead += [following for following, _ in node.next_functions]
