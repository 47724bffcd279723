"""The optimizer and its schedule: AdamW, linear warm-up, cosine to zero; and the average of the weights, which is what is kept."""

import math

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from genomix.nn.classifier import Classifier
from genomix.nn.reconstruction import Reconstructor
from genomix.train.settings import TrainSettings


def build_optimizer(model: Classifier | Reconstructor, settings: TrainSettings) -> Optimizer:
    """AdamW with weight decay on matrices only, and a slower rate for the embedding."""
    embedding = model.embedding.weight
    others = [parameter for parameter in model.parameters() if parameter is not embedding]
    groups = [
        {"params": [embedding], "lr": settings.learning_rate * settings.embedding_rate, "weight_decay": 0.0},
        {"params": [p for p in others if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=settings.learning_rate)


def build_schedule(optimizer: Optimizer, steps: int, warmup: float) -> LambdaLR:
    """The learning rate's factor at each step."""
    rising = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return LambdaLR(optimizer, factor)


def averaged(network: nn.Module, *, memory: int) -> AveragedModel:
    """An exponential average of a network's weights and running figures, in a network of its own, `module`, in evaluation mode.

    Single updates on sixteen records jump about; the average of the last hundred or so does not, and answers unseen records better (Polyak & Juditsky,
    SIAM J. Control Optim. 30, 1992).

    Args:
        memory: updates that the average looks back on; fewer at the start, so that the first weights are soon forgotten.
    """

    def taken_in(kept: Tensor, new: Tensor, before: Tensor | int) -> Tensor:
        if not kept.is_floating_point():  # counters and indices have no average
            return new
        return kept.lerp(new, 1 / min(memory, 1 + (int(before) + 1) / 10))

    # Not PyTorch's own exponential average: it would average the integers among the buffers too.
    average = AveragedModel(network, avg_fn=taken_in, use_buffers=True)
    return average.requires_grad_(requires_grad=False).eval()
