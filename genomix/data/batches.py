"""Records to batches of tokens. The one module of this room that knows torch.

A training batch is a pure function of (seed, epoch, step, rank): the epoch's plan is drawn from (seed, epoch), each record's changes from
(seed, epoch, record). So an interrupted run goes on at the batch where it stopped, bit for bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genomix.data.augment import AugmentSettings, Strand, augment
from genomix.data.store import Dataset
from genomix.tokenizers import Tokenizer

PADDING = -1
"""Token id of padding."""

_SORTED_TOGETHER = 16
"""Batches' worth of shuffled records that are sorted by length: enough to pad little, few enough to stay random."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records ready for the network.

    Attributes:
        tokens: int32 [batch, token], padded on the right with `PADDING`.
        lengths: int64 [batch], tokens of each record.
        circular: bool [batch], whether its two ends are joined.
        labels: int64 [batch]; -1 where unknown.
        records: which records of the dataset these are.
    """

    tokens: Tensor
    lengths: Tensor
    circular: Tensor
    labels: Tensor
    records: tuple[int, ...]

    def to(self, device: torch.device) -> "Batch":
        tokens, lengths, circular, labels = (
            part.to(device, non_blocking=True) for part in (self.tokens, self.lengths, self.circular, self.labels)
        )
        return Batch(tokens, lengths, circular, labels, self.records)


def tokenize(codes: np.ndarray, tokenizer: Tokenizer, *, circular: bool) -> np.ndarray:
    """Token ids of one record, int32; a circular one has the k-mers across its joint too.

    Training and prediction both come through here.
    """
    if circular and len(codes) >= tokenizer.k:
        codes = np.concatenate([codes, codes[: tokenizer.k - 1]])
    return tokenizer.encode(codes)


def max_bases(max_tokens: int, tokenizer: Tokenizer, *, circular: bool = False) -> int:
    """Bases of the longest record that makes at most `max_tokens` tokens."""
    return max_tokens * tokenizer.stride if circular else (max_tokens - 1) * tokenizer.stride + tokenizer.k


def collate(tokens: Sequence[np.ndarray], circular: Sequence[bool], labels: Sequence[int], records: Sequence[int]) -> Batch:
    """Token arrays of any lengths -> one padded batch."""
    lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
    padded = np.full((len(tokens), int(lengths.max())), PADDING, dtype=np.int32)
    for row, ids in zip(padded, tokens, strict=True):
        row[: len(ids)] = ids
    return Batch(
        torch.from_numpy(padded),
        torch.from_numpy(lengths),
        torch.tensor(circular, dtype=torch.bool),
        torch.tensor(labels, dtype=torch.int64),
        tuple(int(record) for record in records),
    )


def plan_epoch(lengths: np.ndarray, *, token_budget: int, max_records: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of one epoch, as positions in `lengths`: each of similar lengths, within the budget when padded, in random order.

    Args:
        lengths: tokens of each record.
        token_budget: tokens of a padded batch; a longer record goes alone.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    together = max_records * _SORTED_TOGETHER
    batches = []
    for start in range(0, len(order), together):
        chunk = order[start : start + together]
        batches += fill_batches(chunk[np.argsort(lengths[chunk], kind="stable")], lengths, token_budget, max_records)
    return [batches[i] for i in rng.permutation(len(batches))]


def fill_batches(order: np.ndarray, lengths: np.ndarray, token_budget: int, max_records: int) -> list[np.ndarray]:
    """Cut `order` into batches of consecutive records, each as full as budget and count allow."""
    batches, start, longest = [], 0, 0
    for place, record in enumerate(order):
        longest = max(longest, int(lengths[record]))
        filled = place - start
        if filled and (filled == max_records or (filled + 1) * longest > token_budget):
            batches.append(order[start:place])
            start, longest = place, int(lengths[record])
    if len(order):
        batches.append(order[start:])
    return batches


class TrainingBatches:
    """The training split as batches, augmented; `epoch(e)` gives the batches of an epoch, from any step on."""

    def __init__(
        self,
        dataset: Dataset,
        indices: np.ndarray,
        tokenizer: Tokenizer,
        augmenting: AugmentSettings,
        *,
        strand: Strand,
        max_tokens: int,
        token_budget: int,
        max_records: int,
        seed: int,
    ) -> None:
        self.dataset, self.indices, self.tokenizer, self.augmenting = dataset, indices, tokenizer, augmenting
        self.strand, self.seed = strand, seed
        self.token_budget, self.max_records = token_budget, max_records
        self.max_bases = max_bases(max_tokens, tokenizer, circular=dataset.circular)
        bases = dataset.lengths[indices]
        self.lengths = np.minimum(bases, self.max_bases) // tokenizer.stride + 1

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The records of each batch, as positions in `indices`."""
        return plan_epoch(self.lengths, token_budget=self.token_budget, max_records=self.max_records, seed=self.seed, epoch=epoch)

    def epoch(self, epoch: int, *, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on; every `world`-th one, beginning at `rank`."""
        plan = self.plan(epoch)
        for step in range(start, len(plan) // world):
            yield self._batch(plan[step * world + rank], epoch)

    def _batch(self, places: np.ndarray, epoch: int) -> Batch:
        records = self.indices[places]
        tokens, rings = [], []
        for record in records:
            codes, ring = self.changed(int(record), epoch)
            tokens.append(tokenize(codes, self.tokenizer, circular=ring))
            rings.append(ring)
        return collate(tokens, rings, self.dataset.label_ids[records].tolist(), records.tolist())

    def changed(self, record: int, epoch: int) -> tuple[np.ndarray, bool]:
        """A record's base codes as this epoch shows them, and whether its ends are joined."""
        return augment(
            self.dataset.codes(record),
            np.random.default_rng((self.seed, epoch, record)),
            self.augmenting,
            strand=self.strand,
            circular=self.dataset.circular,
            max_bases=self.max_bases,
            min_bases=self.tokenizer.k,
        )
