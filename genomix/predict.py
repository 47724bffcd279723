"""Records through a trained network: windows, both strands, batches, and one answer a record, in input order.

Evaluation and the validation of a training run come through `Scorer` too, so a record gets the same scores on every path.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from genomix.bundle import Bundle
from genomix.data.augment import Strand, reverse_complement
from genomix.data.batches import collate, fill_batches, max_bases, tokenize
from genomix.ranks import Choice, Ranks, ranks_of
from genomix.records import OTHER, Prediction, SequenceRecord, encode_bases
from genomix.tokenizers import Tokenizer

_BUFFERED_BATCHES = 8
"""Batches' worth of windows that are collected and sorted by length before they run: little padding, bounded memory."""


class PredictSettings(BaseModel):
    """How new records are classified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(default=0.0, ge=0, le=1)
    """A record whose best class has a lower probability is `unclassified`; where labels have ranks it gets the deepest rank that reaches this."""
    max_ambiguous: float = Field(default=0.5, ge=0, le=1)
    """A record with a larger fraction of letters other than A, C, G, T, U is `too_ambiguous`."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    """Fraction of a window that it shares with the next, at least, in records longer than the network takes."""
    token_budget: int = Field(default=262_144, ge=1)
    """Tokens of a padded batch; more needs more memory."""
    max_records: int = Field(default=64, ge=1)
    """Windows of a batch, at most."""


class PredictTables(BaseModel):
    """The one table of the settings that prediction reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    predict: PredictSettings = PredictSettings()


@dataclass(frozen=True, slots=True)
class Scores:
    """The network's answer for one record: probabilities [class], float64, averaged over windows and strands."""

    probabilities: np.ndarray
    strand_agreement: float | None
    windows: int


@dataclass(slots=True)
class _Buffer:
    """Records whose windows wait to run; record after record, window after window, strand after strand."""

    weights: list[list[int]] = field(default_factory=list)
    """Bases of each window of each record."""
    tokens: list[np.ndarray] = field(default_factory=list)
    circular: list[bool] = field(default_factory=list)
    size: int = 0
    """Tokens in all."""


class Scorer:
    """A network with all it needs to score base codes of any length.

    Args:
        network: a classifier, (tokens, lengths, circular) -> logits, in evaluation mode.
        max_tokens: of the longest window.
        strand: `both` averages a record's two strands.
        circular: whether the molecules are; a record that fits in one window is then read as a ring.
    """

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        strand: Strand,
        circular: bool,
        settings: PredictSettings,
    ) -> None:
        self.network, self.tokenizer, self.settings = network, tokenizer, settings
        self.max_tokens, self.circular = max_tokens, circular
        self.strands = 2 if strand == "both" else 1

    def score(self, records: Iterable[np.ndarray]) -> Iterator[Scores]:
        """Scores of each record, in order. Each is uint8 base codes [length], at least k long."""
        budget = self.settings.token_budget * _BUFFERED_BATCHES
        buffer = _Buffer()
        for codes in records:
            self._add(buffer, codes)
            if buffer.size >= budget:
                yield from self._flush(buffer)
                buffer = _Buffer()
        yield from self._flush(buffer)

    def _add(self, buffer: _Buffer, codes: np.ndarray) -> None:
        spans = self.windows(len(codes))
        ring = self.circular and len(codes) <= max_bases(self.max_tokens, self.tokenizer, circular=True)
        buffer.weights.append([stop - start for start, stop in spans])
        for start, stop in spans:
            window = codes[start:stop]
            for part in (window, reverse_complement(window))[: self.strands]:
                ids = tokenize(part, self.tokenizer, circular=ring)
                buffer.tokens.append(ids)
                buffer.circular.append(ring)
                buffer.size += len(ids)

    def windows(self, length: int) -> list[tuple[int, int]]:
        """The spans that a record of `length` bases is read in: itself, or evenly spaced overlapping windows that cover it."""
        if length <= max_bases(self.max_tokens, self.tokenizer, circular=self.circular):
            return [(0, length)]
        # A ring a few bases too long may fit as a line, which has fewer tokens.
        size = min(length, max_bases(self.max_tokens, self.tokenizer))
        count = int(np.ceil((length - size) / max(1, int(size * (1 - self.settings.overlap))))) + 1
        return [(int(start), int(start) + size) for start in np.linspace(0, length - size, count).round()]

    def _flush(self, buffer: _Buffer) -> Iterator[Scores]:
        if not buffer.weights:
            return
        probabilities = self._run_all(buffer)
        start = 0
        for weights in buffer.weights:
            stop = start + len(weights) * self.strands
            yield _merge(probabilities[start:stop].reshape(len(weights), self.strands, -1), weights)
            start = stop

    def _run_all(self, buffer: _Buffer) -> np.ndarray:
        """Probabilities [token array, class], float64; run in batches of similar lengths."""
        lengths = np.array([len(ids) for ids in buffer.tokens])
        order = np.argsort(lengths, kind="stable")
        batches = fill_batches(order, lengths, self.settings.token_budget, self.settings.max_records)
        found = [self._run([buffer.tokens[i] for i in batch], [buffer.circular[i] for i in batch]) for batch in batches]
        result = np.empty((len(order), found[0].shape[1]))
        result[order] = np.concatenate(found)
        return result

    def _run(self, tokens: Sequence[np.ndarray], circular: Sequence[bool]) -> np.ndarray:
        device = next(self.network.parameters()).device
        batch = collate(tokens, circular, [-1] * len(tokens), range(len(tokens))).to(device)
        with torch.inference_mode():
            logits = self.network(batch.tokens, batch.lengths, batch.circular)
        if not bool(torch.isfinite(logits).all()):
            raise FloatingPointError("the network's scores are not finite")
        return torch.softmax(logits.cpu().double(), dim=1).numpy()


def build_scorer(bundle: Bundle, settings: PredictSettings, *, strand: Strand | None = None) -> Scorer:
    """The scorer of a trained model.

    Args:
        strand: other than the one that the model was trained for.
    """
    bundle.model.eval()
    return Scorer(
        bundle.model,
        bundle.tokenizer,
        max_tokens=bundle.model.settings.max_tokens,
        strand=strand or bundle.strand,
        circular=bundle.circular,
        settings=settings,
    )


def _merge(probabilities: np.ndarray, weights: Sequence[int]) -> Scores:
    """[window, strand, class] -> the average over windows, weighted by their bases, and over strands."""
    strands = np.average(probabilities, axis=0, weights=weights)
    agreement = None if len(strands) == 1 else float(1 - np.abs(strands[0] - strands[1]).sum() / 2)
    return Scores(strands.mean(0), agreement, len(weights))


def predict(
    bundle: Bundle, records: Iterable[SequenceRecord], settings: PredictSettings, *, strand: Strand | None = None
) -> Iterator[tuple[SequenceRecord, Prediction]]:
    """One prediction for each record, in the order they come; memory is bounded by the longest record.

    Args:
        strand: other than the one that the model was trained for.
    """
    scorer = build_scorer(bundle, settings, strand=strand)
    shortest, ranks = bundle.tokenizer.k, ranks_of(bundle.classes)
    for chunk in _chunks(records, settings.token_budget * _BUFFERED_BATCHES):
        coded = [np.frombuffer(encode_bases(record.sequence), dtype=np.uint8) for record in chunk]
        refused = [_refusal(codes, shortest, settings.max_ambiguous) for codes in coded]
        scores = scorer.score(codes for codes, status in zip(coded, refused, strict=True) if not status)
        for record, status in zip(chunk, refused, strict=True):
            if status:
                yield record, Prediction(record.id, len(record.sequence), status)
            else:
                yield record, _decide(record, next(scores), bundle.classes, settings.threshold, ranks)


def _chunks(records: Iterable[SequenceRecord], bases: int) -> Iterator[list[SequenceRecord]]:
    chunk: list[SequenceRecord] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record.sequence) + 1_000  # an object costs memory too, however short its sequence
        if size >= bases:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _refusal(codes: np.ndarray, shortest: int, max_ambiguous: float) -> str:
    if len(codes) < shortest:
        return "too_short"
    unknown = np.count_nonzero(codes == OTHER)
    return "too_ambiguous" if unknown > max_ambiguous * len(codes) else ""


def _decide(record: SequenceRecord, scores: Scores, classes: Sequence[str], threshold: float, ranks: Ranks | None) -> Prediction:
    best, second = np.argsort(scores.probabilities)[::-1][:2]
    probability = float(scores.probabilities[best])
    called = probability >= threshold
    prediction = Prediction(
        id=record.id,
        length=len(record.sequence),
        status="classified" if called else "unclassified",
        label=classes[best] if called else "",
        probability=probability,
        margin=probability - float(scores.probabilities[second]),
        strand_agreement=scores.strand_agreement,
        windows=scores.windows,
        probabilities=tuple(scores.probabilities.tolist()),
    )
    return prediction if ranks is None else _at_rank(prediction, ranks.choose(scores.probabilities, threshold))


def _at_rank(prediction: Prediction, choice: Choice) -> Prediction:
    status, rank = ("classified", choice.rank) if choice.rank else ("unclassified", None)
    return replace(prediction, status=status, label=choice.label, rank=rank, probability=choice.probability, margin=choice.margin)
