"""Which parts of a record its class rests on: a stretch is made unknown, the record scored again, and what that costs the class is the stretch's effect.

This is occlusion (Zeiler and Fergus 2014, doi:10.1007/978-3-319-10590-1_53). It asks the whole network, what lies far apart included, and trusts no gradient.
What it costs is a prediction for each stretch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from genomix.bundle import Bundle
from genomix.certificate import LengthWatch
from genomix.data.augment import Strand
from genomix.data.label_text import listed
from genomix.errors import UsageError
from genomix.predict import refusal
from genomix.records import OTHER, SequenceRecord
from genomix.scorer import PredictSettings, build_scorer

STRETCHES = 64
"""Of a record, where no length is asked for."""

SHORTEST = 100
"""Bases of such a stretch, at least."""


class ExplainSettings(BaseModel):
    """How a record is cut into the stretches that are hidden."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stretch: int | None = Field(default=None, ge=1)
    """Bases hidden at a time, at most; None is a 64th of the record, and 100 at least."""


class ExplainTables(BaseModel):
    """The tables of the settings that explaining reads. Of `predict` it has no use for how sure an answer must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    explain: ExplainSettings = ExplainSettings()
    predict: PredictSettings = PredictSettings()

    @property
    def unused(self) -> list[str]:
        """Settings that the command line or the environment gives, and nothing here reads."""
        return sorted(f"predict.{name}" for name in self.predict.model_fields_set & {"threshold", "error", "max_novelty"})


@dataclass(frozen=True, slots=True)
class Stretch:
    """What hiding one stretch of a record does.

    Attributes:
        start, stop: of the hidden bases, counted from 0; the base at `stop` is not hidden.
        probability: of the class, without these bases.
        effect: log odds (natural logarithm) of the class with all bases, less those without these: above 0 they speak for the class, below 0 against it.
    """

    start: int
    stop: int
    probability: float
    effect: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for one record.

    Attributes:
        status: `explained`, or why the record was not read, in the words of `Prediction`.
        label: the class that is asked about; empty where the record was not read.
        probability: of that class, with all bases; None then.
        stretches: from the record's first base to its last; none then.
    """

    record: SequenceRecord
    status: str
    label: str = ""
    probability: float | None = None
    stretches: tuple[Stretch, ...] = ()


def explain(
    bundle: Bundle, records: Iterable[SequenceRecord], settings: ExplainTables, *, label: str | None = None, strand: Strand | None = None
) -> Iterator[Explanation]:
    """One explanation for each record, in the order they come.

    Args:
        label: the class that is asked about; None is each record's most probable one.
        strand: other than the one that the model was trained for.

    Raises:
        UsageError: the model has no such class; raised before a record is read.
    """
    if label is not None and label not in bundle.classes:
        raise UsageError(f"the model has no class {label!r}", hint=f"its classes are {listed([*map(repr, bundle.classes)])}")
    scorer = build_scorer(bundle, settings.predict, strand=strand)
    lengths = LengthWatch(bundle.provenance.get("evaluation"))

    def answers() -> Iterator[Explanation]:
        for record in records:
            codes = np.frombuffer(record.codes, dtype=np.uint8)
            if status := refusal(codes, bundle.tokenizer, settings.predict.max_ambiguous):
                yield Explanation(record, status)
                continue
            spans = stretches(len(codes), settings.explain.stretch)
            whole, *hidden = (scores.probabilities for scores in scorer.score(_variants(codes, spans)))
            asked = bundle.classes.index(label) if label is not None else int(whole.argmax())
            found = tuple(Stretch(*span, *_measured(whole, each, asked)) for span, each in zip(spans, hidden, strict=True))
            lengths.see(len(codes))
            yield Explanation(record, "explained", bundle.classes[asked], float(whole[asked]), found)
        lengths.warn()

    return answers()


def stretches(length: int, longest: int | None) -> list[tuple[int, int]]:
    """Start and stop of the stretches of a record of `length` bases: of one size, give or take a base, and at most `longest` bases."""
    longest = longest or max(SHORTEST, -(-length // STRETCHES))
    count = -(-length // longest)
    bounds = [length * i // count for i in range(count + 1)]
    return list(pairwise(bounds))


def _variants(codes: np.ndarray, spans: Iterable[tuple[int, int]]) -> Iterator[np.ndarray]:
    """The record as it is, and once for each stretch with that stretch unknown."""
    yield codes
    for start, stop in spans:
        hidden = codes.copy()
        hidden[start:stop] = OTHER
        yield hidden


def _measured(whole: np.ndarray, hidden: np.ndarray, asked: int) -> tuple[float, float]:
    return float(hidden[asked]), log_odds(whole, asked) - log_odds(hidden, asked)


def log_odds(probabilities: np.ndarray, asked: int) -> float:
    """Of one class against all others; finite where a probability is too small for a number."""
    others = np.delete(probabilities, asked).sum()
    least = np.finfo(np.float64).tiny
    return float(np.log(max(probabilities[asked], least)) - np.log(max(others, least)))
