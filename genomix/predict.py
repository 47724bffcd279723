"""New records in, one prediction for each, in input order."""

import logging
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from pydantic import BaseModel, ConfigDict

from genomix.bundle import Bundle
from genomix.confidence import Answer, build_decision
from genomix.data.augment import Strand
from genomix.formats import GapWatch, IdWatch, TopologyWatch, open_records, watched
from genomix.ranks import Ranks, ranks_of
from genomix.records import OTHER, Prediction, SequenceRecord
from genomix.scorer import BUFFERED_BATCHES, PredictSettings, Scores, build_scorer
from genomix.tokenizers import Tokenizer
from genomix.windows import known_tokens

_log = logging.getLogger(__name__)


class PredictTables(BaseModel):
    """The one table of the settings that prediction reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    predict: PredictSettings = PredictSettings()


def new_records(bundle: Bundle, paths: Iterable[str]) -> Iterator[SequenceRecord]:
    """The records of sequence files, `-` is standard input. After the last one warnings of what in them the model reads as something else: gaps of an alignment,
    records without an id, molecules that their file calls circular and the model was not trained for, or the other way round.

    Raises what `open_records` raises.
    """
    topology = TopologyWatch(circular=bundle.circular, because=", as the model was trained")
    return watched(chain.from_iterable(map(open_records, paths)), GapWatch(), IdWatch(), topology)


def predict(
    bundle: Bundle,
    records: Iterable[SequenceRecord],
    settings: PredictSettings,
    *,
    strand: Strand | None = None,
    prior: np.ndarray | None = None,
) -> Iterator[tuple[SequenceRecord, Prediction]]:
    """One prediction for each record, in the order they come; memory is bounded by the longest record.

    Args:
        strand: other than the one that the model was trained for.
        prior: the class balance to answer for, [class], see `genomix.confidence.read_prior`; None is that of training.

    Raises:
        UsageError: the model was not calibrated for what the settings ask; raised before a record is read.
    """
    return _predict(Predictor(bundle, settings, strand=strand, prior=prior), records)


class Predictor:
    """What answers records, chunk after chunk; the answers to a chunk depend on nothing outside it. The arguments are those of `predict`, and so are the errors."""

    def __init__(self, bundle: Bundle, settings: PredictSettings, *, strand: Strand | None = None, prior: np.ndarray | None = None) -> None:
        self.settings, self._tokenizer, self._ranks = settings, bundle.tokenizer, ranks_of(bundle.classes)
        self._decision = build_decision(
            bundle.classes,
            bundle.confidence,
            bundle.novelty,
            threshold=settings.threshold,
            error=settings.error,
            max_novelty=settings.max_novelty,
            prior=prior,
        )
        self._scorer = build_scorer(bundle, settings, strand=strand, features=self._decision.needs_features)

    def chunks(self, records: Iterable[SequenceRecord]) -> Iterator[list[SequenceRecord]]:
        """Records that are to be answered together, in their order."""
        return _chunks(records, self.settings.token_budget * BUFFERED_BATCHES)

    def answers(self, chunk: Sequence[SequenceRecord]) -> Iterator[tuple[SequenceRecord, Prediction]]:
        """One prediction for each record."""
        coded = [np.frombuffer(record.codes, dtype=np.uint8) for record in chunk]
        refused = [refusal(codes, self._tokenizer, self.settings.max_ambiguous) for codes in coded]
        scores = list(self._scorer.score(codes for codes, status in zip(coded, refused, strict=True) if not status))
        known = zip(scores, self._decision.novelties([each.features for each in scores]), strict=True)
        for record, status in zip(chunk, refused, strict=True):
            if status:
                yield record, Prediction(record.id, len(record.sequence), status)
            else:
                found, novelty = next(known)
                answer = self._decision(found.probabilities, novelty)
                prediction = _prediction(record, found, answer)
                ranks = self._ranks
                yield record, prediction if ranks is None else _at_rank(prediction, answer, ranks, self.settings.threshold)

    def remark(self, novelties: Sequence[float]) -> None:
        """One warning, where the records that were answered lie further from the training records than chance explains."""
        if remark := self._decision.remark(np.array(novelties)):
            _log.warning("%s", remark)


def _predict(predictor: Predictor, records: Iterable[SequenceRecord]) -> Iterator[tuple[SequenceRecord, Prediction]]:
    novelties = array("d")
    for chunk in predictor.chunks(records):
        for record, prediction in predictor.answers(chunk):
            if prediction.windows:
                novelties.append(prediction.novelty or 0.0)
            yield record, prediction
    predictor.remark(novelties)


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


def refusal(codes: np.ndarray, tokenizer: Tokenizer, max_ambiguous: float) -> str:
    """Why a record is not read: `too_short` for a token, or `too_ambiguous`, also where no token is known; empty where it is.

    Args:
        codes: uint8 base codes [length].
        max_ambiguous: largest fraction of bases other than A, C, G, T, U.
    """
    if len(codes) < tokenizer.k:
        return "too_short"
    unknown = np.count_nonzero(codes == OTHER)
    return "too_ambiguous" if unknown > max_ambiguous * len(codes) or not known_tokens(codes, tokenizer) else ""


def _prediction(record: SequenceRecord, scores: Scores, answer: Answer) -> Prediction:
    return Prediction(
        id=record.id,
        length=len(record.sequence),
        status="classified" if answer.label else "unclassified",
        label=answer.label,
        probability=answer.probability,
        margin=answer.margin,
        strand_agreement=scores.strand_agreement,
        windows=scores.windows,
        probabilities=tuple(answer.probabilities.tolist()),
        labels=answer.labels,
        novelty=answer.novelty,
    )


def _at_rank(prediction: Prediction, answer: Answer, ranks: Ranks, threshold: float) -> Prediction:
    """The prediction at the deepest rank that reaches the threshold; a set of labels is of classes, and so is the answer then."""
    if answer.refused or answer.labels is not None:
        return replace(prediction, rank=len(ranks) if prediction.label else None)
    choice = ranks.choose(answer.probabilities, threshold)
    status, rank = ("classified", choice.rank) if choice.rank else ("unclassified", None)
    return replace(prediction, status=status, label=choice.label, rank=rank, probability=choice.probability, margin=choice.margin)
