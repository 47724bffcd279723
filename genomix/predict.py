"""New records in, one prediction for each, in input order."""

import logging
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict

from genomix.bundle import Bundle
from genomix.confidence import Answer, Decision, build_decision
from genomix.data.augment import Strand
from genomix.ranks import Ranks, ranks_of
from genomix.records import OTHER, Prediction, SequenceRecord
from genomix.scorer import BUFFERED_BATCHES, PredictSettings, Scorer, Scores, build_scorer

_log = logging.getLogger(__name__)


class PredictTables(BaseModel):
    """The one table of the settings that prediction reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    predict: PredictSettings = PredictSettings()


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
    decision = build_decision(
        bundle.classes,
        bundle.confidence,
        bundle.novelty,
        threshold=settings.threshold,
        error=settings.error,
        max_novelty=settings.max_novelty,
        prior=prior,
    )
    return _predict(build_scorer(bundle, settings, strand=strand, features=decision.needs_features), bundle, records, decision)


def _predict(
    scorer: Scorer, bundle: Bundle, records: Iterable[SequenceRecord], decision: Decision
) -> Iterator[tuple[SequenceRecord, Prediction]]:
    settings = scorer.settings
    shortest, ranks, novelties = bundle.tokenizer.k, ranks_of(bundle.classes), array("d")
    for chunk in _chunks(records, settings.token_budget * BUFFERED_BATCHES):
        coded = [np.frombuffer(record.codes, dtype=np.uint8) for record in chunk]
        refused = [_refusal(codes, shortest, settings.max_ambiguous) for codes in coded]
        scores = scorer.score(codes for codes, status in zip(coded, refused, strict=True) if not status)
        for record, status in zip(chunk, refused, strict=True):
            if status:
                yield record, Prediction(record.id, len(record.sequence), status)
            else:
                found = next(scores)
                answer = decision(found.probabilities, found.features)
                novelties.append(answer.novelty or 0.0)
                prediction = _prediction(record, found, answer)
                yield record, prediction if ranks is None else _at_rank(prediction, answer, ranks, settings.threshold)
    if remark := decision.remark(np.array(novelties)):
        _log.warning("%s", remark)


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
