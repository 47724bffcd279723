"""The loss of an update: what its records, run in parts of similar lengths and shared out over the processes of a run, come to together."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genomix.data.batches import Batch
from genomix.nn.classifier import Classifier
from genomix.processes import Processes
from genomix.train.exchange import gathered

ALONE = Processes()


class Update(nn.Module):
    """The loss of a network that answers all of an update's records: each part for itself up to the head, which sees them together.

    Args:
        loss: (logits, labels) -> the sum over records.
        processes: that share the update; the loss is the same in all of them.
    """

    def __init__(self, network: Classifier, loss: nn.Module, processes: Processes = ALONE) -> None:
        super().__init__()
        self.network, self.loss, self.processes = network, loss, processes

    def forward(self, parts: Sequence[Batch], composition: Tensor | None, seed: int | None = None) -> Tensor:
        """The mean over the records of the whole update.

        Args:
            parts: this process's; there may be none.
            composition: what the composition branch is to say of each of their records, [record, class]; None leaves it to the branch.
            seed: of the head's random numbers, the same in all processes; None goes on with what there is.
        """
        features = self._features(parts)
        base = self._composition(parts, features) if composition is None else composition
        labels = _joined([part.labels for part in parts], features)
        if self.processes.world > 1:
            order = self._order(parts, features)
            features, base, labels = (gathered(rows, self.processes)[order] for rows in (features, base, labels))
        if seed is not None:
            torch.manual_seed(seed)
        return self.loss(self.network.head(features) + base, labels) / len(labels)

    def _features(self, parts: Sequence[Batch]) -> Tensor:
        """[record, feature], part after part; of the weights' type where others are to be sent the same."""
        network, weight = self.network, self.network.embedding.weight
        pooled = [network.pooled(part.tokens, part.lengths, part.circular) for part in parts]
        if not pooled:
            return weight.new_zeros(0, network.pooling.features)
        return torch.cat(pooled) if self.processes.world == 1 else torch.cat(pooled).to(weight.dtype)

    def _composition(self, parts: Sequence[Batch], features: Tensor) -> Tensor:
        """[record, class]; nothing to add, [record, 1], where the network has no such branch."""
        branch = self.network.composition
        if branch is None:
            return features.new_zeros(len(features), 1)
        return torch.cat([branch(part.tokens) for part in parts]) if parts else branch.bias.new_zeros(0, len(branch.bias))

    def _order(self, parts: Sequence[Batch], features: Tensor) -> Tensor:
        """Of the gathered records, the order in which one process alone would have them: from short to long, then as they were drawn."""
        lengths = gathered(_joined([part.lengths for part in parts], features), self.processes)
        places = torch.tensor([place for part in parts for place in part.places], dtype=torch.int64, device=features.device)
        drawn = torch.argsort(gathered(places, self.processes))
        return drawn[torch.argsort(lengths[drawn], stable=True)]


def _joined(each: Sequence[Tensor], features: Tensor) -> Tensor:
    return torch.cat(list(each)) if each else torch.zeros(0, dtype=torch.int64, device=features.device)


def smoothed_loss(smoothing: float, classes: int) -> float:
    """Cross-entropy, in nats, of answers that are exactly the smoothed labels."""
    other = smoothing / classes
    own = 1 - smoothing + other
    return -own * math.log(own) - (classes - 1) * other * math.log(other) if smoothing else 0.0
