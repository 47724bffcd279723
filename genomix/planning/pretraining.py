"""Short runs of pretraining's network. Its head answers for a chunk of positions at a time, so what it works with does not grow with the record.

What it keeps does. So a position's bytes are measured with chunks of a few positions, and a whole chunk by itself.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from genomix.data.masking import Hiding
from genomix.nn.classifier import ModelSettings
from genomix.nn.reconstruction import Reconstructor
from genomix.planning.measure import Precision, Specimen, Way

_FEW = 32


class PretrainingSpecimen(Specimen):
    """As `Specimen`, with pretraining's loss.

    Args:
        hiding: which decides how many positions are asked for, and for what.
    """

    def __init__(self, settings: ModelSettings, vocabulary: int, device: torch.device, precision: Precision, *, hiding: Hiding) -> None:
        self.hiding = hiding
        super().__init__(settings, vocabulary, device, precision)

    def _make(self, settings: ModelSettings) -> None:
        words = 4**self.hiding.word
        self.network: Reconstructor = Reconstructor(settings, self.vocabulary, torch.full((words,), 1 / words))
        self.classifier = self.network.network
        self.chunk, self.network.chunk = self.network.chunk, _FEW

    def chunk_bytes(self, way: Way) -> int:
        """That the head works with on a whole chunk of positions, beside what it keeps of it."""
        network, device = self.network, self.measured_on

        def forward() -> Tensor:  # two chunks, as a chunk's gradients are added to those of the one before
            hidden = torch.randn(2 * self.chunk, self.classifier.settings.channels, device=device, requires_grad=True)
            words = torch.zeros(len(hidden), 1, dtype=torch.int64, device=device)
            with self._as_in_use(way, device):
                return torch.cat(
                    [network.answer(*each) for each in zip(hidden.split(self.chunk), words.split(self.chunk), strict=True)]
                ).sum()

        self._set(way, device)
        kept, peak = self._bytes(forward, torch.autograd.backward)
        return peak - kept

    def _bytes(self, forward: Callable[[], Tensor], backward: Callable[[Tensor], object]) -> tuple[int, int]:
        backward(forward())  # the first call takes work space for all that follow
        self.network.zero_grad(set_to_none=True)
        return super()._bytes(forward, backward)

    def _number(self, record: Tensor, lengths: Tensor, circular: Tensor, _: Way) -> Tensor:
        return self.network(record, lengths, circular, self._words(record.shape[1]).to(record.device)).sum()

    def _words(self, tokens: int) -> Tensor:
        """Asked for of a record of so many tokens, int64 [1, base]: at an even share of the positions, so that short records have it too."""
        positions, share = -(-tokens // self.classifier.settings.patch), self.hiding.settings.share
        words = torch.full((positions, self.hiding.cell), -1)
        words[(torch.arange(positions) * share) % 1 < share] = 0
        return words.view(1, -1)
