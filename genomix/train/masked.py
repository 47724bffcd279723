"""Batches for pretraining: records with spans hidden, and in place of labels the words that are hidden; and their loss. With them the loop is training's own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genomix.data.augment import AugmentSettings, substitute
from genomix.data.batches import Batch, TrainingBatches, collate, similar_lengths, tokenize
from genomix.data.masking import Hiding, MaskingSettings, hidden_words, hide_spans, without_hidden
from genomix.data.store import Dataset
from genomix.nn.reconstruction import Reconstructor
from genomix.processes import Processes
from genomix.tokenizers import Tokenizer
from genomix.train.exchange import summed
from genomix.train.update import ALONE

_HIDING, _NOISE = 1, 2
"""Set the random numbers of hiding and of substitutions apart from those of a record's other changes."""


class MaskedBatches(TrainingBatches):
    """As `TrainingBatches`, but a batch's labels are the hidden words, int64 [batch, base]: the same number of bases for each position, -1 where none is asked.

    What is hidden is asked for as it is; substitutions fall on what is shown.

    Args:
        patch: tokens of a position.
    """

    def __init__(
        self,
        dataset: Dataset,
        indices: np.ndarray,
        tokenizer: Tokenizer,
        augmenting: AugmentSettings,
        masking: MaskingSettings,
        *,
        patch: int,
        **sizes: Any,
    ) -> None:
        super().__init__(dataset, indices, tokenizer, augmenting.model_copy(update={"substitutions": 0.0}), **sizes)
        self.masking, self.substitutions = masking, augmenting.substitutions
        self.hiding = Hiding(masking, cell=patch * tokenizer.stride)
        self.cell, self.word = self.hiding.cell, self.hiding.word

    def masked(self, record: int, epoch: int, repeat: int = 0) -> tuple[np.ndarray, np.ndarray, bool]:
        """A record's base codes as they are, which of them are hidden (bool), and whether its ends are joined."""
        codes, ring = self.changed(record, epoch, repeat)
        rng = np.random.default_rng((self.seed, epoch, record, repeat, _HIDING))
        return codes, hide_spans(codes, rng, self.masking, self.cell), ring

    def words(self, codes: np.ndarray, hidden: np.ndarray, *, ring: bool) -> np.ndarray:
        """The hidden words of a record at the bases of its positions, int64 [positions * bases of a position]."""
        bases = len(codes) if ring else len(codes) - self.tokenizer.k + 1  # that a token starts at
        return hidden_words(codes, hidden, self.word, -(-bases // self.cell) * self.cell)

    def _parts(self, records: np.ndarray, repeats: np.ndarray, epoch: int, places: np.ndarray) -> list[Batch]:
        tokens, words, rings = [], [], []
        for record, repeat in zip(records.tolist(), repeats.tolist(), strict=True):
            codes, hidden, ring = self.masked(record, epoch, repeat)
            noise = np.random.default_rng((self.seed, epoch, record, repeat, _NOISE))
            shown = without_hidden(substitute(codes, noise, self.substitutions), hidden)
            tokens.append(tokenize(shown, self.tokenizer, circular=ring))
            words.append(self.words(codes, hidden, ring=ring))
            rings.append(ring)
        parts = similar_lengths(np.array([len(ids) for ids in tokens]), token_budget=self.token_budget, max_records=self.max_records)
        return [
            collate(
                [tokens[i] for i in part], [rings[i] for i in part], [-1] * len(part), records[part].tolist(), places[part].tolist()
            )._replace(labels=_side_by_side([words[i] for i in part]))
            for part in parts
        ]


def _side_by_side(words: Sequence[np.ndarray]) -> Tensor:
    """int64 [record, base], padded on the right with -1."""
    width = max(map(len, words))
    return torch.from_numpy(np.stack([np.pad(each, (0, width - len(each)), constant_values=-1) for each in words]))


class MaskedUpdate(nn.Module):
    """The loss of an update of pretraining, the mean over all its hidden words.

    Args:
        processes: that share the update; the loss is the same in all of them.
    """

    def __init__(self, network: Reconstructor, processes: Processes = ALONE) -> None:
        super().__init__()
        self.network, self.processes = network, processes

    def forward(self, parts: Sequence[Batch], _composition: None, _seed: int | None = None) -> Tensor:
        asked = sum(int((part.labels >= 0).sum()) for part in parts)
        if self.processes.world == 1:
            return self.total(parts) / max(1, asked)
        # Nobody's rows are needed elsewhere, only the number of words: the gradient is that of this process's own sum, the value that of all.
        own = self.total(parts) if parts else next(self.parameters()).sum() * 0
        sums = summed(torch.stack([own.detach().double(), own.new_tensor(asked, dtype=torch.float64)]), self.processes)
        asked = max(1, int(sums[1]))
        part = own * (self.processes.world / asked)
        return part + ((sums[0] / asked).to(part.dtype) - part).detach()

    def total(self, parts: Sequence[Batch]) -> Tensor:
        """The sum over the hidden words of these parts."""
        return torch.stack([self.network(part.tokens, part.lengths, part.circular, part.labels).sum() for part in parts]).sum()
