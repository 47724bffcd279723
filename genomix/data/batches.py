"""Records to batches of tokens. The one module of this room that knows torch.

A training batch is a pure function of (seed, epoch, step, rank): the epoch's draws and plan come from (seed, epoch), a record's changes from
(seed, epoch, record, how often the epoch has drawn it before). So an interrupted run goes on at the batch where it stopped, bit for bit, and processes that
share an update show its records as one process alone would.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genomix.ahead import ahead
from genomix.data.augment import AugmentSettings, Strand, augment, mean_length
from genomix.data.balance import Draws, draw_all, draw_balanced
from genomix.data.store import Dataset
from genomix.tokenizers import Tokenizer

PADDING = -1
"""Token id of padding."""

_LARGEST_SPREAD = 1.25
"""Longest record of a part over its shortest: what is padded costs as much as what is read."""
_SHORT = 512
"""Tokens that do not matter for that."""
_UPDATES_AHEAD = 2
"""Ready while a GPU works on another one."""


class Batch(NamedTuple):
    """Records ready for the network; a tuple, because Fabric looks for tensors in what it hands to a module and refuses frozen data classes.

    Attributes:
        tokens: int32 [batch, token], padded on the right with `PADDING`.
        lengths: int64 [batch], tokens of each record.
        circular: bool [batch], whether its two ends are joined.
        labels: int64 [batch]; -1 where unknown.
        records: which records of the dataset these are.
        places: which of the update's records these are, counted in the order in which they were drawn.
    """

    tokens: Tensor
    lengths: Tensor
    circular: Tensor
    labels: Tensor
    records: tuple[int, ...]
    places: tuple[int, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        tokens, lengths, circular, labels = (
            part.to(device, non_blocking=True) for part in (self.tokens, self.lengths, self.circular, self.labels)
        )
        return Batch(tokens, lengths, circular, labels, self.records, self.places)

    def pinned(self) -> "Batch":
        """The same in memory that a GPU fetches by itself, so that `to` does not wait."""
        tokens, lengths, circular, labels = (part.pin_memory() for part in (self.tokens, self.lengths, self.circular, self.labels))
        return self._replace(tokens=tokens, lengths=lengths, circular=circular, labels=labels)


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


def token_count(bases: int, tokenizer: Tokenizer, *, circular: bool = False) -> int:
    """Tokens of a record of so many bases."""
    if bases < tokenizer.k:
        return 0
    return ((bases - 1) if circular else (bases - tokenizer.k)) // tokenizer.stride + 1


def collate(
    tokens: Sequence[np.ndarray], circular: Sequence[bool], labels: Sequence[int], records: Sequence[int], places: Sequence[int] = ()
) -> Batch:
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
        tuple(int(place) for place in places),
    )


def divided(batch: Batch, token_budget: int) -> list[Batch]:
    """The records of a batch in the same order, in batches of at most so many tokens, or of one record."""
    rows = max(1, token_budget // batch.tokens.shape[1])
    return [Batch._make(part[start : start + rows] for part in batch) for start in range(0, len(batch.records), rows)]


def plan_epoch(records: int, *, max_records: int, seed: int, epoch: int) -> list[np.ndarray]:
    """What each update of one epoch sees, as numbers below `records`: up to `max_records` of them, whatever their length.

    Were they of similar lengths, then of similar classes too where length goes with class, and every update would pull its own way.
    """
    order = np.random.default_rng((seed, epoch)).permutation(records)
    return [order[start : start + max_records] for start in range(0, records, max_records)]


def similar_lengths(lengths: np.ndarray, *, token_budget: int, max_records: int) -> list[np.ndarray]:
    """Positions in `lengths`, from short to long, in parts that pad little and stay within budget and count; a record beyond the budget goes alone."""
    parts: list[list[int]] = []
    for place in np.argsort(lengths, kind="stable").tolist():
        longest, part = int(lengths[place]), parts[-1] if parts else []
        fits = len(part) < max_records and (len(part) + 1) * longest <= token_budget
        if not part or not fits or longest > _LARGEST_SPREAD * lengths[part[0]] + _SHORT:
            parts.append([])
        parts[-1].append(place)
    return [np.array(part) for part in parts]


def made_for(updates: Iterator[list[Batch]], device: torch.device) -> Iterator[list[Batch]]:
    """The same updates, for a GPU made ahead of it: by a thread, and in pinned memory.

    A CPU gets each when it asks: the thread would only take from the network what it spares it, a hundredth of a step.
    """
    if device.type == "cpu":
        return updates
    return ahead((_pinned(parts, device) for parts in updates), most=_UPDATES_AHEAD)


def _pinned(parts: list[Batch], device: torch.device) -> list[Batch]:
    return [part.pinned() for part in parts] if device.type == "cuda" else parts


class TrainingBatches:
    """The training split, augmented; `epoch(e)` gives what each update of an epoch sees, from any step on.

    An update's records come in parts of similar lengths, which are batches of their own: their gradients add up to the update's.

    Args:
        factors: float64 [class], how often an epoch draws a record of each class on average; None draws every record once.
    """

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
        factors: np.ndarray | None = None,
    ) -> None:
        self.factors = factors
        self.dataset, self.indices, self.tokenizer, self.augmenting = dataset, indices, tokenizer, augmenting
        self.strand, self.seed = strand, seed
        self.token_budget, self.max_records = token_budget, max_records
        self.max_bases = max_bases(max_tokens, tokenizer, circular=dataset.circular)

    def draws(self, epoch: int) -> Draws:
        """The records of an epoch, as positions in `indices`."""
        if self.factors is None:
            return draw_all(len(self.indices))
        return draw_balanced(self.dataset.label_ids[self.indices], self.factors, seed=self.seed, epoch=epoch)

    def steps(self, epoch: int = 0) -> int:
        """Updates of an epoch."""
        return -(-len(self.draws(epoch).places) // self.max_records)

    @property
    def tokens_per_update(self) -> float:
        """About how many tokens an update reads."""
        seen = mean_length(self.dataset.lengths[self.indices], self.augmenting, self.max_bases)
        return seen / self.tokenizer.stride * min(self.max_records, len(self.indices))

    def epoch(self, epoch: int, *, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[list[Batch]]:
        """The parts of each update of an epoch from step `start` on.

        Args:
            rank: of the process that they are for, which gets its share of each update's records; none where an epoch's last update has too few for all.
            world: how many processes there are.
        """
        draws = self.draws(epoch)
        plan = plan_epoch(len(draws.places), max_records=self.max_records, seed=self.seed, epoch=epoch)
        for update in plan[start:]:
            records = self.indices[draws.places[update]]
            places = np.sort(np.argsort(self.dataset.lengths[records], kind="stable")[rank::world])  # dealt out by length: equal work
            yield self._parts(records[places], draws.repeats[update[places]], epoch, places) if len(places) else []

    def _parts(self, records: np.ndarray, repeats: np.ndarray, epoch: int, places: np.ndarray) -> list[Batch]:
        drawn = [self.changed(record, epoch, repeat) for record, repeat in zip(records.tolist(), repeats.tolist(), strict=True)]
        tokens = [tokenize(codes, self.tokenizer, circular=ring) for codes, ring in drawn]
        labels = self.dataset.label_ids[records]
        return [
            collate(
                [tokens[i] for i in part],
                [drawn[i][1] for i in part],
                labels[part].tolist(),
                records[part].tolist(),
                places[part].tolist(),
            )
            for part in similar_lengths(
                np.array([len(ids) for ids in tokens]), token_budget=self.token_budget, max_records=self.max_records
            )
        ]

    def changed(self, record: int, epoch: int, repeat: int) -> tuple[np.ndarray, bool]:
        """A record's base codes as this epoch shows them at that draw, and whether its ends are joined."""
        return augment(
            self.dataset.codes(record),
            np.random.default_rng((self.seed, epoch, record, repeat)),
            self.augmenting,
            strand=self.strand,
            circular=self.dataset.circular,
            max_bases=self.max_bases,
        )
