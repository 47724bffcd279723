"""The optimizer and its schedule: AdamW, linear warm-up, cosine to zero."""

import math

from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

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
