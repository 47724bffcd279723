"""From a record's probabilities to its answer: one label, a set of labels, or none.

The order: the set of labels comes from the calibrated probabilities as they are, because its promise holds class by class, whatever the class balance; then
the probabilities are re-weighted for the balance asked for; the label is the set's only one, or without a set the most probable; last, a label whose
probability is too low or a record that is too far from the training records is left unclassified.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genomix.confidence.conformal import label_thresholds, too_few_alone
from genomix.confidence.novelty import Novelty, ranks
from genomix.confidence.prior import prior_ratio, reweighted
from genomix.confidence.stored import Confidence
from genomix.errors import UsageError

_log = logging.getLogger(__name__)

FAR = 0.99
"""Novelty from which a record is spoken of, where the validation records are enough to tell."""

_CHANCE = 0.001
"""Probability of so many far records, were all like the validation records, below which they are spoken of."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one record; see `genomix.records.Prediction`. `label` is empty where none is given.

    Attributes:
        refused: whether it gets no label at any threshold: its set is not one label, or it is too novel.
    """

    label: str
    probability: float
    margin: float
    probabilities: np.ndarray
    labels: tuple[str, ...] | None
    novelty: float | None
    refused: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """How records are answered. Made by `build_decision`.

    Attributes:
        ratio: wanted over learned class balance [class].
        lowest: the lowest probability of each class with which it is in the set [class].
        distances: of the validation records, ascending.
    """

    classes: Sequence[str]
    threshold: float
    max_novelty: float
    ratio: np.ndarray | None
    lowest: np.ndarray | None
    reference: Novelty | None
    distances: np.ndarray

    @property
    def needs_features(self) -> bool:
        return self.reference is not None

    def novelties(self, features: Sequence[np.ndarray]) -> list[float | None]:
        """Of many records at once, which costs a fraction of one at a time; None where the model does not know.

        Args:
            features: of each record float64 [feature], where `needs_features`.
        """
        if self.reference is None or not len(features):
            return [None] * len(features)
        return [*map(float, ranks(self.reference.distances(np.stack(features)), self.distances))]

    def __call__(self, probabilities: np.ndarray, novelty: float | None = None) -> Answer:
        """The answer for one record.

        Args:
            probabilities: calibrated, float64 [class].
            novelty: as `novelties` gives it.
        """
        order = np.argsort(-probabilities, kind="stable")
        inside = None if self.lowest is None else [int(label) for label in order if probabilities[label] >= self.lowest[label]]
        if self.ratio is not None:
            probabilities = reweighted(probabilities, self.ratio)
            possible = [label for label in inside or () if self.ratio[label] > 0]  # what can't be is in no set
            inside = inside and sorted(possible, key=lambda label: -probabilities[label])
        best = inside[0] if inside is not None and len(inside) == 1 else int(probabilities.argmax())
        probability = float(probabilities[best])
        refused = (inside is not None and len(inside) != 1) or (novelty or 0.0) > self.max_novelty
        return Answer(
            label=self.classes[best] if probability >= self.threshold and not refused else "",
            probability=probability,
            margin=probability - float(np.delete(probabilities, best).max()),
            probabilities=probabilities,
            labels=None if inside is None else tuple(self.classes[label] for label in inside),
            novelty=novelty,
            refused=refused,
        )

    def remark(self, novelties: np.ndarray) -> str | None:
        """A sentence about records far from the training records, where they are more than chance explains.

        Args:
            novelties: of all the records that were answered.
        """
        validation = len(self.distances)
        far = min(FAR, validation / (validation + 1))
        place = math.ceil(far * (validation + 1))  # who is that far lies further out than so many validation records
        count = int((novelties >= far).sum())
        usual = len(novelties) * (1 - far)
        if self.reference is None or count <= usual or _chance(count, len(novelties), place, validation) > _CHANCE:
            return None
        return (
            f"{count} of {len(novelties)} records lie further from the training records than {_of_validation(place, validation)} did, "
            "more than chance explains: their labels are guesses; --max-novelty names such records and leaves them unclassified"
        )


def build_decision(
    classes: Sequence[str],
    confidence: Confidence | None,
    reference: Novelty | None,
    *,
    threshold: float,
    error: float | None = None,
    max_novelty: float | None = None,
    prior: np.ndarray | None = None,
) -> Decision:
    """How a model's records are answered. Warns of classes for which the promise of `error` does not hold one by one.

    Args:
        classes: names, in the order of the probabilities.
        confidence: what is stored of the model's probabilities; None in a model of an earlier genomix.
        reference: where its training records are.
        error: promised rate of sets without the true label; None asks for no sets.
        max_novelty: a record above it gets no label; 1 refuses none.
        prior: class balance to answer for [class].

    Raises:
        UsageError: the model can't do what is asked for.
    """
    if error is not None and (confidence is None or not confidence.scores):
        raise _not_stored("--error", "validation records", confidence)
    if max_novelty is not None and reference is None:
        raise _not_stored("--max-novelty", "distances of validation records", confidence)
    if max_novelty is not None and max_novelty < 1:
        _require_reachable(max_novelty, len(confidence.distances) if confidence else 0)
    if prior is not None and confidence is None:
        raise _not_stored("--prior", "the class balance of training", confidence)
    if error is not None and confidence is not None and (weaker := too_few_alone(classes, confidence.scores, error)):
        _log.warning("%s", weaker)
    return Decision(
        classes=classes,
        threshold=threshold,
        max_novelty=1.0 if max_novelty is None else max_novelty,
        ratio=None if prior is None or confidence is None else prior_ratio(prior, confidence.balance, classes),
        lowest=None if error is None or confidence is None else label_thresholds(confidence.scores, error),
        reference=reference,
        distances=np.array(confidence.distances if confidence else ()),
    )


def _of_validation(place: int, validation: int) -> str:
    if validation == 1:
        return "the one validation record"
    return f"{place:,} of the {validation:,} validation records" if place < validation else f"all {validation:,} validation records"


def _chance(count: int, records: int, place: int, validation: int) -> float:
    """The probability that so many records or more lie further out than the `place`-th of the validation records, where all are drawn alike.

    The validation records are a sample too, so this is not binomial: with few of them, their 99th percentile is where chance has put it. Of all records in one
    order it asks that among the outermost, down to the last of those counted, there are few enough validation records: a hypergeometric probability.
    """
    from scipy.stats import hypergeom  # slow to load

    further = validation - place  # validation records beyond that one
    return float(hypergeom.cdf(further, validation + records, validation, count + further))


def _require_reachable(max_novelty: float, records: int) -> None:
    """Refuse a limit that no record can be above: novelty is at most records / (records + 1)."""
    most = records / (records + 1)
    if max_novelty >= most:
        lower = math.ceil(100 * most - 1) / 100
        raise UsageError(
            f"--max-novelty {max_novelty:g}: with {records:,} validation records nothing is above {most:.4g}",
            hint=f"{lower:g} leaves unclassified what lies further out than all of them" if lower > 0 else "more validation records",
        )


def _not_stored(option: str, what: str, confidence: Confidence | None) -> UsageError:
    if confidence is not None and confidence.records:
        return UsageError(f"{option} needs {what}, which a model with so many features (a flatten head) does not hold")
    why = "was trained by an earlier genomix" if confidence is None else "was trained without a validation split"
    return UsageError(f"{option} needs {what}, which the model does not hold: it {why}", hint="train again with a validation split")
