"""The loss of an update: what its records, run in parts of similar lengths, come to together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genomix.data.batches import Batch
from genomix.nn.classifier import Classifier


class Update(nn.Module):
    """The loss of a network that answers all of an update's records: each part for itself up to the head, which sees them together.

    Args:
        loss: (logits, labels) -> the sum over records.
    """

    def __init__(self, network: Classifier, loss: nn.Module) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, parts: Sequence[Batch], composition: Tensor | None) -> Tensor:
        """The mean over the records.

        Args:
            composition: what the composition branch is to say of each record; None leaves it to the branch.
        """
        labels = torch.cat([part.labels for part in parts])
        return self.loss(self.logits(parts, composition), labels) / len(labels)

    def logits(self, parts: Sequence[Batch], composition: Tensor | None) -> Tensor:
        """[record, class], part after part."""
        network = self.network
        logits = network.head(torch.cat([network.pooled(part.tokens, part.lengths, part.circular) for part in parts]))
        if network.composition is None:
            return logits
        return logits + (torch.cat([network.composition(part.tokens) for part in parts]) if composition is None else composition)
