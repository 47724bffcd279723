"""Logistic regressions on k-mer frequencies: the forms that the frequencies may take, and which of them answers records best that it has not seen."""

import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from genomix.baselines import fitting, regularised
from genomix.nn.composition import bounded, levelled
from genomix.train.choice import errors_gained

_log = logging.getLogger(__name__)

STRENGTHS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0)
"""scikit-learn's C: smaller is more regularised."""
POWERS = (1.0, 0.5)
"""Frequencies as they are, or their square roots, which even out the variances of rare and common k-mers; neither is better everywhere."""
_MOST_THREADS = 4
"""That fit at a time, each on copies of its own."""
_SILENCE = 15.0
"""Seconds after which one wants to hear how far it is."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is counted, and what frequencies become before they are weighed.

    Args:
        level: give every record's standardised features the same norm. A short record's frequencies are noisy, far from the mean in all directions, and
            would be answered with a confidence that only its length has earned; where all records are alike long the norm carries a little knowledge.
    """

    k: int
    power: float
    level: bool

    def __str__(self) -> str:
        return f"{self.k}-mer frequencies{'' if self.power == 1 else ', square roots'}{', levelled' if self.level else ''}"


@dataclass(frozen=True, slots=True)
class Features:
    """Frequencies in a form, standardised as some records' were."""

    form: Form
    scaler: StandardScaler

    @classmethod
    def of(cls, form: Form, shares: np.ndarray) -> "Features":
        return cls(form, StandardScaler().fit(shares**form.power))

    def __call__(self, shares: np.ndarray) -> np.ndarray:
        standardised = self.scaler.transform(shares**self.form.power)
        return levelled(torch.from_numpy(standardised), standardised.shape[1]).numpy() if self.form.level else standardised


@dataclass(frozen=True, slots=True)
class Fit:
    """Logistic regression on features."""

    model: LogisticRegression | None
    """None where the records were all of one class, `only`."""
    only: int
    classes: int

    def answers(self, features: np.ndarray) -> np.ndarray:
        """Log probabilities [record, class], as the network bounds them."""
        weight, bias = self.linear(features.shape[1])
        return bounded(torch.from_numpy(features @ weight + bias)).numpy()

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


def fits(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, strengths: tuple[float, ...]) -> Iterator[Fit]:
    """A fit for each strength, from the smallest; to be called within `fitting`."""
    known = np.unique(labels)
    if len(known) < 2:
        yield from [Fit(None, int(known[0]), len(weights))] * len(strengths)
        return
    for model in regularised(features, labels, strengths, weights[labels]):
        yield Fit(model, int(known[0]), len(weights))


def choose(
    tables: Iterable[tuple[int, np.ndarray]],
    labels: np.ndarray,
    parts: list[tuple[np.ndarray, np.ndarray]],
    weights: np.ndarray,
    families: np.ndarray,
) -> tuple[Form, tuple[float, ...]]:
    """Form and C of the lowest log loss, each record weighted by its class; before that C those from which a fit came to it, as fits end before they are exact.

    Shorter words are taken only where that gains more than one standard error among the families, and no still shorter ones are tried where it loses more.

    Args:
        tables: k and the frequencies [record, k-mer], one after the other, from the longest words.
        parts: (kept, left out) positions; a record is answered by the part that leaves it out.
        families: int [record]; records of one number are relatives, which err together.
    """
    # Of a class that was left out whole nothing can be said: all are equal.
    known = [left_out[np.isin(labels[left_out], labels[kept])] for kept, left_out in parts]
    judged = [(kept, place) for (kept, _), place in zip(parts, known, strict=True) if len(place)]
    best: _Tried | None = None
    with ThreadPoolExecutor(most_threads()) as threads, fitting():
        comparison = _Comparison(labels, judged, weights, threads)
        for k, shares in tables:
            found = comparison.best(k, shares)
            place = np.concatenate([place for _, place in judged])
            gain = np.inf if best is None else errors_gained(best.losses - found.losses, families[place])
            if gain > 1:
                best = found
            elif gain < -1:
                break
    assert best is not None
    return best.form, best.path


@dataclass(frozen=True, slots=True)
class _Tried:
    """A form at the best strength.

    Args:
        path: strengths up to that one.
        losses: of each record that was left out, weighted.
    """

    form: Form
    path: tuple[float, ...]
    losses: np.ndarray


@dataclass(slots=True)
class _Comparison:
    """Tries forms on records, and tells of it where it takes long.

    Args:
        judged: (kept, left out) positions.
    """

    labels: np.ndarray
    judged: list[tuple[np.ndarray, np.ndarray]]
    weights: np.ndarray
    threads: ThreadPoolExecutor
    told: float = field(default_factory=time.monotonic)

    def best(self, k: int, shares: np.ndarray) -> _Tried:
        """Of the forms that frequencies of k-mers may take."""
        forms = [Form(k, power, level) for power, level in product(POWERS, (False, True))]
        return min((self._try(form, shares) for form in forms), key=lambda tried: tried.losses.sum())

    def _try(self, form: Form, shares: np.ndarray) -> _Tried:
        def losses(kept: np.ndarray, place: np.ndarray) -> np.ndarray:
            """[strength, record of `place`]"""
            features = Features.of(form, shares[kept])
            unseen, truth, rows = features(shares[place]), self.labels[place], np.arange(len(place))
            regressions = fits(features(shares[kept]), self.labels[kept], self.weights, STRENGTHS)
            said = [regression.answers(unseen)[rows, truth].astype(np.float64) for regression in regressions]
            return -np.array(said) * self.weights[truth]

        table = np.concatenate(list(self.threads.map(losses, *zip(*self.judged, strict=True))), axis=1)
        place = int(table.sum(1).argmin())
        tried = _Tried(form, STRENGTHS[: place + 1], table[place])
        if time.monotonic() - self.told > _SILENCE:
            self.told = time.monotonic()
            total = sum(self.weights[self.labels[place]].sum() for _, place in self.judged)
            _log.info("composition: tried %s: log loss %.3f with C = %g", form, tried.losses.sum() / total, tried.path[-1])
        return tried


def most_threads() -> int:
    return min(_MOST_THREADS, torch.get_num_threads())
