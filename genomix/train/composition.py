"""The network's composition branch: a logistic regression on k-mer frequencies, which is fitted before training starts.

Composition alone decides most questions well, and a convex fit finds it better than gradient steps on a few hundred records do. So the network starts as that
regression and learns only what it gets wrong. But it has seen its training records, whose answers it knows better than anyone else's: in training each
record gets the answer of a regression that was fitted without it and its relatives (out of fold).
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from genomix.baselines import fitting, regularised
from genomix.data.augment import Strand
from genomix.data.balance import sampled
from genomix.data.frequencies import complement_order, distinct_frequencies, distinct_kmers
from genomix.data.related import drawn_together
from genomix.data.store import Dataset
from genomix.nn.classifier import Classifier
from genomix.nn.composition import Composition, bounded, levelled

_log = logging.getLogger(__name__)

STRENGTHS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0)
"""scikit-learn's C: smaller is more regularised."""
POWERS = (1.0, 0.5)
"""Frequencies as they are, or their square roots, which even out the variances of rare and common k-mers; neither is better everywhere."""
FOLDS = 5
MOST_RECORDS = 6_000
_ROWS_AT_ONCE = 1_024
_MOST_THREADS = 4
"""That fit at a time, each on copies of its own."""
_COPIES = 3
"""Of the frequencies that are fitted on: in their form, standardised, and what scikit-learn makes of them."""
_REMEMBERED = 36
"""Arrays of the size of the weights that the solver works with (L-BFGS with ten corrections)."""


@dataclass(frozen=True, slots=True)
class _Form:
    """What frequencies become before they are weighed.

    Args:
        level: give every record's standardised features the same norm. A short record's frequencies are noisy, far from the mean in all directions, and
            would be answered with a confidence that only its length has earned; where all records are alike long the norm carries a little knowledge.
    """

    power: float
    level: bool


@dataclass(frozen=True, slots=True)
class _Features:
    """Frequencies in a form, standardised as some records' were."""

    form: _Form
    scaler: StandardScaler

    @classmethod
    def of(cls, form: _Form, shares: np.ndarray) -> "_Features":
        return cls(form, StandardScaler().fit(shares**form.power))

    def __call__(self, shares: np.ndarray) -> np.ndarray:
        standardised = self.scaler.transform(shares**self.form.power)
        return levelled(torch.from_numpy(standardised), standardised.shape[1]).numpy() if self.form.level else standardised


@dataclass(frozen=True, slots=True)
class _Fit:
    """Logistic regression on features."""

    model: LogisticRegression | None
    """None where the records were all of one class, `only`."""
    only: int
    classes: int

    def logits(self, features: np.ndarray) -> np.ndarray:
        weight, bias = self.linear(features.shape[1])
        return features @ weight + bias

    def linear(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Weight [feature, class] and bias [class], float32; a class without records gets the lowest logit there is."""
        weight = np.zeros((count, self.classes), dtype=np.float32)
        bias = np.full(self.classes, -50.0, dtype=np.float32)
        if self.model is None:
            bias[self.only] = 0.0
            return weight, bias
        coefficients, intercept, known = self.model.coef_, self.model.intercept_, self.model.classes_
        if len(known) == 2:  # one row then, the second class's margin over the first
            coefficients, intercept = np.stack([-coefficients[0], coefficients[0]]) / 2, np.array([-intercept[0], intercept[0]]) / 2
        weight[:, known], bias[known] = coefficients.T, intercept
        return weight, bias


def fit_composition(
    model: Classifier, dataset: Dataset, records: np.ndarray, k: int, *, strand: Strand, seed: int, weights: np.ndarray
) -> Tensor | None:
    """Fit the model's composition branch on the training records, and give what it should say of each of them while the rest is trained.

    How strongly to regularise, and what to make of the frequencies, is decided by the log loss on training records left out (relatives stay together) and
    on the validation split.

    Args:
        weights: float64 [class], how much a record of each class counts.

    Returns:
        float32 [record of the dataset, class], log probabilities; None where fewer than two classes have several records: then the branch stays silent.
        Of a record that can't be left out, as it is the only one of its class, nothing is said: all classes are equal.
    """
    assert model.composition is not None
    rng = np.random.default_rng((seed, 2))
    family = np.unique(drawn_together(dataset, records), return_inverse=True)[1]
    places = sampled(dataset.label_ids[records], MOST_RECORDS, rng, sure=FOLDS)
    sample = records[places]
    folds = _folds(dataset.label_ids[sample], family[places])
    if folds is None:
        _log.warning("no start from k-mer frequencies: fewer than two classes have several training records")
        return None
    _log.info("composition: fitting regressions on %d records of %d classes", len(sample), len(np.unique(dataset.label_ids[sample])))
    partner = complement_order(k) if strand == "both" else np.arange(4**k)
    columns = distinct_kmers(k, strand)
    everything = np.arange(len(sample))
    shares = partial(distinct_frequencies, dataset, k=k, strand=strand)
    validation = rng.permutation(dataset.indices("validation"))[:MOST_RECORDS]
    table = shares(np.concatenate([sample, validation]))
    labels = dataset.label_ids[np.concatenate([sample, validation])]
    parts = [*folds, (everything, len(sample) + np.arange(len(validation)))]
    form, strength, logits = _choose(table, labels, parts, weights)
    answers = np.zeros((len(dataset), len(weights)), dtype=np.float32)
    answers[sample] = logits[everything]
    rest = np.setdiff1d(np.arange(len(records)), places)
    out_of = _left_out_by(folds, family[places], family[rest])
    with fitting():
        for part, kept in enumerate([*(kept for kept, _ in folds), everything]):
            unseen = records[rest[out_of == part]]
            if len(unseen) == 0 and kept is not everything:
                continue
            features = _Features.of(form, table[kept])
            [regression] = _fits(features(table[kept]), labels[kept], weights, (strength,))
            answers[unseen] = _answers(regression, features, unseen, shares)
    _fill(model.composition, features, regression, columns, partner)  # the last, of the whole sample
    result = bounded(torch.from_numpy(answers))
    chosen = result[torch.from_numpy(sample), torch.from_numpy(labels[everything])]
    _log.info(
        "composition: %d-mer frequencies%s%s, C = %g, log loss %.3f on training records left out",
        k,
        "" if form.power == 1 else ", square roots",
        ", levelled" if form.level else "",
        strength,
        -float(chosen.mean()),
    )
    return result


def _answers(fit: _Fit, features: _Features, records: np.ndarray, shares: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Logits [record, class], with the frequencies of few records in memory at a time."""
    parts = [fit.logits(features(shares(records[start : start + _ROWS_AT_ONCE]))) for start in range(0, len(records), _ROWS_AT_ONCE)]
    return np.concatenate(parts) if parts else np.zeros((0, fit.classes), dtype=np.float32)


def composition_memory(records: int, k: int, *, strands: int, classes: int) -> int:
    """Bytes that `fit_composition` takes for a while at most, about: the frequencies of a sample and of as many validation records; answers of all strengths to
    them, and the best; and in each thread copies of the sample's, or one copy and what the solver remembers."""
    sample, columns = min(records, MOST_RECORDS), 4**k // strands
    table, weights = 4 * sample * columns, 8 * columns * (1 if classes == 2 else classes)
    return 2 * table + 4 * 2 * sample * classes * (len(STRENGTHS) + 1) + _threads() * max(_COPIES * table, table + _REMEMBERED * weights)


def _threads() -> int:
    return min(_MOST_THREADS, torch.get_num_threads())


def _fill(composition: Composition, features: _Features, whole: _Fit, columns: np.ndarray, partner: np.ndarray) -> None:
    weight, bias = whole.linear(len(columns))
    of_all = np.zeros((len(partner), weight.shape[1]), dtype=np.float32)
    mean, rate = np.zeros(len(partner)), np.zeros(len(partner))  # a column that is left out comes to nothing
    of_all[columns], mean[columns], rate[columns] = weight, features.scaler.mean_, 1 / features.scaler.scale_
    composition.fill(
        torch.from_numpy(of_all),
        torch.from_numpy(bias),
        mean=torch.from_numpy(mean),
        rate=torch.from_numpy(rate),
        power=features.form.power,
        level=features.form.level,
        partner=torch.from_numpy(partner),
    )


def _folds(labels: np.ndarray, family: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """(kept, left out) positions in a sample; a family stays together, as far as its class can then be on both sides. A class of one family is always kept."""
    families = {label: len(np.unique(family[labels == label])) for label in np.unique(labels)}
    divisible = [label for label, count in families.items() if count > 1]
    if len(divisible) < 2:
        return None
    some, always = (np.flatnonzero(np.isin(labels, divisible, invert=invert)) for invert in (False, True))
    with warnings.catch_warnings():
        # A class of fewer families than folds is left out by as many of them: that it is small is no reason to halve what the others are fitted on.
        warnings.filterwarnings("ignore", "The least populated class in y has only")
        folds = list(StratifiedGroupKFold(min(FOLDS, max(families.values()))).split(some, labels[some], family[some]))
    return [(np.sort(np.concatenate([some[kept], always])), some[left_out]) for kept, left_out in folds]


def _left_out_by(folds: list[tuple[np.ndarray, np.ndarray]], of_sample: np.ndarray, of_rest: np.ndarray) -> np.ndarray:
    """int64 [record of the rest]: which fold has kept nothing of its family; the number of folds where the sample has nothing of it at all, -1 where each has.

    Args:
        of_sample: the family of each record of the sample.
    """
    families = 1 + int(max(of_sample.max(), of_rest.max(initial=0)))
    kept = np.zeros((len(folds) + 1, families), dtype=bool)
    for part, (places, _) in enumerate(folds):
        kept[part, of_sample[places]] = True
    kept[-1, of_sample] = True
    found = np.where(kept[-1], np.argmin(kept, axis=0), len(folds))
    found[kept.all(axis=0)] = -1
    return found[of_rest]


def _choose(
    shares: np.ndarray, labels: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]], weights: np.ndarray
) -> tuple[_Form, float, np.ndarray]:
    """(form, C, logits [record, class]) of the lowest log loss, each record weighted by its class.

    Args:
        parts: (kept, left out) positions; the logits of a record are those of the part that leaves it out.
    """
    best: tuple[float, _Form, float, np.ndarray] | None = None
    # Of a class that was left out whole nothing can be said: all are equal.
    known = [left_out[np.isin(labels[left_out], labels[kept])] for kept, left_out in parts]
    judged = [(kept, place) for (kept, _), place in zip(parts, known, strict=True) if len(place)]
    with ThreadPoolExecutor(_threads()) as threads, fitting():
        for form in [_Form(power, level) for power, level in product(POWERS, (False, True))]:

            def answer(kept: np.ndarray, place: np.ndarray, form: _Form = form) -> list[np.ndarray]:
                features = _Features.of(form, shares[kept])
                unseen = features(shares[place])
                return [fit.logits(unseen) for fit in _fits(features(shares[kept]), labels[kept], weights, STRENGTHS)]

            logits = np.zeros((len(STRENGTHS), len(labels), len(weights)), dtype=np.float32)
            for (_, place), found in zip(judged, threads.map(answer, *zip(*judged, strict=True)), strict=True):
                logits[:, place] = found
            for strength, answers in zip(STRENGTHS, logits, strict=True):
                said = bounded(torch.from_numpy(answers))[torch.arange(len(labels)), torch.from_numpy(labels)]
                loss = -float(said.double().numpy() @ weights[labels])
                if best is None or loss < best[0]:
                    best = loss, form, strength, answers.copy()
    assert best is not None
    return best[1:]


def _fits(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, strengths: tuple[float, ...]) -> Iterator[_Fit]:
    """A fit for each strength, from the smallest."""
    known = np.unique(labels)
    if len(known) < 2:
        yield from [_Fit(None, int(known[0]), len(weights))] * len(strengths)
        return
    for model in regularised(features, labels, strengths, weights[labels]):
        yield _Fit(model, int(known[0]), len(weights))
