"""Base codes through a trained network: windows, both strands, batches, and one answer a record.

Prediction, evaluation and the validation of a training run all come through `Scorer`, so a record gets the same scores on every path.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from genomix.bundle import Bundle
from genomix.confidence import at_temperature
from genomix.data.augment import Strand
from genomix.data.batches import collate, similar_lengths
from genomix.errors import OutOfMemory, first_line, is_out_of_memory
from genomix.nn.classifier import Classifier, CompositionAlone
from genomix.nn.features import head_inputs
from genomix.planning import longest_prediction, shortage
from genomix.processes import Processes
from genomix.tokenizers import Tokenizer
from genomix.windows import Reader, Window

_log = logging.getLogger(__name__)

BUFFERED_BATCHES = 8
"""Batches' worth of windows that are collected and sorted by length before they run: little padding, bounded memory."""


class PredictSettings(BaseModel):
    """How new records are classified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(default=0.0, ge=0, le=1)
    """A record whose best class has a lower probability is `unclassified`; where labels have ranks it gets the deepest rank that reaches this."""
    error: float | None = Field(default=None, gt=0, lt=1)
    """Answer with the set of labels that misses the true one at most at this rate, on records like those of the validation split; a record whose set is not one label is `unclassified`."""
    max_novelty: float | None = Field(default=None, ge=0, le=1)
    """Say how far each record is from the training records, as the part of the validation records that are nearer; one above this is `unclassified`, 1 refuses none."""
    max_ambiguous: float = Field(default=0.5, ge=0, le=1)
    """A record with a larger fraction of letters other than A, C, G, T, U is `too_ambiguous`."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    """Fraction of a window that it shares with the next, at least, in records longer than the network takes."""
    token_budget: int = Field(default=262_144, ge=1)
    """Tokens of a padded batch; halved where memory runs out."""
    max_records: int = Field(default=64, ge=1)
    """Windows of a batch, at most."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What these settings add to the columns of the predictions."""
        asked = {"labels": self.error, "novelty": self.max_novelty}
        return tuple(name for name, value in asked.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Scores:
    """The network's answer for one record: probabilities [class], float64, averaged over windows and strands, then brought to the model's temperature.

    Attributes:
        strand_agreement: 1 less the total variation distance of the two strands' probabilities, at that temperature too; None with one strand.
        features: what the network's last layer is given, float64 [feature], averaged likewise; empty unless asked for.
    """

    probabilities: np.ndarray
    strand_agreement: float | None
    windows: int
    features: np.ndarray


@dataclass(slots=True)
class _Buffer:
    """Records whose windows wait to run; record after record, window after window, strand after strand."""

    weights: list[list[int]] = field(default_factory=list)
    """Known bases of each window of each record."""
    windows: list[Window] = field(default_factory=list)
    size: int = 0
    """Tokens in all."""

    def add(self, windows: Sequence[Window], weights: list[int]) -> None:
        self.weights.append(weights)
        self.windows.extend(windows)
        self.size += sum(window.tokens for window in windows)


class Scorer:
    """A network with all it needs to score base codes of any length.

    Args:
        network: a classifier, (tokens, lengths, circular) -> logits, in evaluation mode.
        max_tokens: of the longest window.
        strand: `both` averages a record's two strands.
        circular: whether the molecules are.
        temperature: of the probabilities; 1 leaves them as the network gives them.
        features: give the records' features too.
        processes: that share the batches; each is given the same records, and gets the scores of all, those that one alone would get. None is one alone.
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
        temperature: float = 1.0,
        features: bool = False,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes()
        self.network, self.tokenizer, self.settings = network, tokenizer, settings
        self.strands = 2 if strand == "both" else 1
        self.reader = Reader(tokenizer, max_tokens, self.strands, circular, settings.overlap)
        self.temperature, self.features = temperature, features
        self.token_budget = settings.token_budget

    def linear(self) -> Self:
        """The same for stretches of molecules, whose ends are never joined."""
        other = copy(self)
        other.reader = replace(self.reader, circular=False)
        return other

    def composition_alone(self) -> Self | None:
        """The same for the network's composition branch by itself, whose records are read in the same windows and on the same strands: what the network would
        answer if the rest of it said nothing. At temperature 1, as the model's was fitted for the whole network. None where there is no such branch.
        """
        if not isinstance(self.network, Classifier) or self.network.composition is None:
            return None
        other = copy(self)
        other.network, other.temperature, other.features = CompositionAlone(self.network), 1.0, False
        return other

    def score(self, records: Iterable[np.ndarray]) -> Iterator[Scores]:
        """Scores of each record, in order. Each is uint8 base codes [length], at least k long."""
        budget = self.settings.token_budget * BUFFERED_BATCHES
        buffer = _Buffer()
        for codes in records:
            buffer.add(*self.reader.windows(codes))
            if buffer.size >= budget:
                yield from self._flush(buffer)
                buffer = _Buffer()
        yield from self._flush(buffer)

    def _flush(self, buffer: _Buffer) -> Iterator[Scores]:
        if not buffer.weights:
            return
        outputs = self._run_all(buffer)
        start = 0
        for weights in buffer.weights:
            stop = start + len(weights) * self.strands
            probabilities, features = (part[start:stop].reshape(len(weights), self.strands, -1) for part in outputs)
            yield _merge(probabilities, features, weights, self.temperature)
            start = stop

    def _run_all(self, buffer: _Buffer) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities [window, class] and features [window, feature], float64; run in batches of similar lengths, the longest first.

        Raises:
            OutOfMemory: one window alone does not fit.
        """
        shares = self.processes.share(lambda: self._run_share(buffer))
        done, probabilities, features = zip(*(outputs for share in shares for outputs in share), strict=True)
        places = np.argsort(np.concatenate(done))
        return np.concatenate(probabilities)[places], np.concatenate(features)[places]

    def _run_share(self, buffer: _Buffer) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of this process's batches: which windows, their probabilities and features. A batch is the same whoever runs it, and so are its scores."""
        lengths = np.array([window.tokens for window in buffer.windows])
        planned = self._batches(lengths, np.arange(len(lengths)), self.settings.token_budget)[self.processes.rank :: self.processes.world]
        waiting = [part for each in planned for part in self._batches(lengths, each, self.token_budget)]
        found = []
        while waiting:
            batch = waiting.pop()
            outputs = self._run_if_it_fits([buffer.windows[i] for i in batch])
            if outputs is None:
                waiting = [part for each in (*waiting, batch) for part in self._batches(lengths, each, self.token_budget)]
                continue
            found.append((batch, *outputs))
        return found

    def _batches(self, lengths: np.ndarray, places: np.ndarray, token_budget: int) -> list[np.ndarray]:
        parts = similar_lengths(lengths[places], token_budget=token_budget, max_records=self.settings.max_records)
        return [places[part] for part in parts]

    def _run_if_it_fits(self, windows: Sequence[Window]) -> tuple[np.ndarray, np.ndarray] | None:
        """What `_run` gives; None where memory ran out, with the token budget halved."""
        try:
            return self._run(windows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            said = first_line(error)
        longest = max(window.tokens for window in windows)
        if len(windows) == 1:
            raise self._shortage(longest, said)
        before, self.token_budget = self.token_budget, min(self.token_budget, len(windows) * longest) // 2
        _log.warning("out of memory (%s): token budget %s, %s now", said, f"{before:,}", f"{self.token_budget:,}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _shortage(self, tokens: int, said: str) -> OutOfMemory:
        network = self.network.network if isinstance(self.network, CompositionAlone) else self.network
        assert isinstance(network, Classifier), "what is trained and loaded"
        device = next(self.network.parameters()).device
        fits = longest_prediction(network.settings, self.tokenizer.vocabulary, device)
        return shortage("prediction", tokens, said, fits=fits)

    def _run(self, windows: Sequence[Window]) -> tuple[np.ndarray, np.ndarray]:
        device = next(self.network.parameters()).device
        ids = [window.ids(self.tokenizer) for window in windows]
        batch = collate(ids, [window.ring for window in windows], [-1] * len(windows), range(len(windows))).to(device)
        with torch.inference_mode(), head_inputs(self.network, collect=self.features) as seen:
            logits = self.network(batch.tokens, batch.lengths, batch.circular)
        if not bool(torch.isfinite(logits).all()):
            raise FloatingPointError("the network's scores are not finite")
        features = seen[0].cpu().double().numpy() if seen else np.empty((len(windows), 0))
        return torch.softmax(logits.cpu().double(), dim=1).numpy(), features


def build_scorer(
    bundle: Bundle, settings: PredictSettings, *, strand: Strand | None = None, features: bool = False, processes: Processes | None = None
) -> Scorer:
    """The scorer of a trained model, at its temperature.

    Args:
        strand: other than the one that the model was trained for.
        features: give the records' features too.
        processes: see `Scorer`.
    """
    if strand not in (None, bundle.strand) and bundle.confidence is not None and bundle.confidence.records:
        _log.warning(
            "--strand %s: the model's probabilities, --error and --max-novelty were calibrated with strand %s, and may promise too much",
            strand,
            bundle.strand,
        )
    bundle.model.eval()
    return Scorer(
        bundle.model,
        bundle.tokenizer,
        max_tokens=bundle.model.settings.max_tokens,
        strand=strand or bundle.strand,
        circular=bundle.circular,
        settings=settings,
        temperature=(bundle.confidence and bundle.confidence.temperature) or 1.0,
        features=features,
        processes=processes,
    )


def _merge(probabilities: np.ndarray, features: np.ndarray, weights: Sequence[int], temperature: float) -> Scores:
    """[window, strand, class] and [window, strand, feature] -> the average over windows, weighted by their known tokens, and over strands."""
    strands = np.average(probabilities, axis=0, weights=weights)
    each = at_temperature(strands, temperature)
    agreement = None if len(strands) == 1 else float(1 - np.abs(each[0] - each[1]).sum() / 2)
    merged = np.average(features, axis=0, weights=weights).mean(0)
    return Scores(at_temperature(strands.mean(0), temperature), agreement, len(weights), merged)
