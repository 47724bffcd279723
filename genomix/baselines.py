"""What a network must beat: classifiers that look at composition only, from scikit-learn.

    majority             the class frequencies of the train split, for every record
    length gc length_gc  logistic regression on the logarithm of the length, the GC content, both, and splines of them (`traits`)
    kmer4 kmer6          logistic regression on k-mer frequencies
    nearest              the label of the most similar training record (`data.leaks`)

Fitted on the train split. The strength of the regularisation is chosen on the validation split: highest macro-F1, the figure that the gain is given in,
and the lowest log loss of equals; so is, where a class is twice as large as another or more, whether its records count less. Frequencies go in as square roots (the Hellinger transform, which evens out the variances of rare and common k-mers:
as good as plain frequencies on genomes, better on records of 2 kb, whose missing k-mers also tell their length), each feature standardised.
"""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from genomix.data.augment import Strand
from genomix.data.balance import class_factors, sampled
from genomix.data.frequencies import distinct_frequencies
from genomix.data.leaks import nearest_training
from genomix.data.store import Dataset
from genomix.errors import DataError
from genomix.metrics import log_loss, macro_f1
from genomix.traits import Splines, gc_content, length_and_gc, log_length

_log = logging.getLogger(__name__)

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of scikit-learn's C to choose from; larger is less regularised."""

DEFAULT_STRENGTH = 0.1
"""C where there is no validation split: near the best on sets of 300 to 5,000 records."""

MOST_RECORDS = 20_000
"""A larger train or validation split is sampled: logistic regression has learned what it can by then, and the features stay under 200 MB."""

_SURE = 10
"""Records of each class that a sample has, where there are so many."""
_UNEVEN, _LIMIT = 2.0, 100.0
"""Times as many records of one class as of another from which weights are tried, and the largest ratio of two weights (the default of `train.balance_limit`)."""
_RECORDS_AT_ONCE = 1024
_MOST_ITERATIONS = 300

Features = Callable[[Dataset, np.ndarray], np.ndarray]
"""Dataset and record indices -> float [records, features]."""


class Baseline(Protocol):
    def probabilities(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
        """The probability of every class of the dataset, float64 [records, classes]."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same probabilities for every record."""

    frequencies: np.ndarray

    def probabilities(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:  # noqa: ARG002 (the contract of Baseline)
        return np.tile(self.frequencies, (len(indices), 1))


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression on standardised features. A class without training records has probability 0."""

    features: Features
    scaler: StandardScaler | Pipeline
    model: LogisticRegression
    class_count: int

    def probabilities(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
        parts = [indices[start : start + _RECORDS_AT_ONCE] for start in range(0, len(indices), _RECORDS_AT_ONCE)]
        tables = [_of_all_classes(self.model, self.scaler.transform(self.features(dataset, part)), self.class_count) for part in parts]
        return np.concatenate([np.empty((0, self.class_count)), *tables])


@dataclass(frozen=True, slots=True)
class Nearest:
    """The classifier that only remembers: the similarity s of the most similar training record (see `data.pairs`) goes to its label, 1 - s to the class
    frequencies of the train split. A training record is its own nearest.

    Where this does as well as a network, the test records are relatives of training records, and nothing shows that the network would do on others.
    """

    frequencies: np.ndarray

    def probabilities(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
        found, similarity = indices.copy(), np.ones(len(indices))
        held_out = ~np.isin(indices, dataset.indices("train"))
        found[held_out], similarity[held_out] = nearest_training(dataset, indices[held_out])
        labels = np.where(found >= 0, dataset.label_ids[found], -1)
        weight = np.where(labels >= 0, np.nan_to_num(similarity), 0.0)[
            :, None
        ]  # an unlabelled training record tells nothing, nor does none
        return weight * np.eye(len(self.frequencies))[labels] + (1 - weight) * self.frequencies


def fit_baselines(dataset: Dataset, *, strand: Strand, seed: int) -> dict[str, Baseline]:
    """Every baseline, fitted on the train split, by name: `majority length gc length_gc kmer4 kmer6 nearest`.

    Args:
        strand: `both` counts a k-mer and its reverse complement together.
        seed: draws the sample of a split beyond `MOST_RECORDS`; otherwise nothing is random.

    Raises:
        DataError: no labelled record in the train split.
    """
    train = _labelled(dataset, "train")
    if not len(train):
        raise DataError("no labelled record in the train split", where=str(dataset.folder), hint="the baselines learn from the train split")
    traits: dict[str, Features] = {"length": log_length, "gc": gc_content, "length_gc": length_and_gc}
    kmers: dict[str, Features] = {f"kmer{k}": partial(_kmer_features, k=k, strand=strand) for k in (4, 6)}
    counts = np.bincount(dataset.label_ids[train], minlength=len(dataset.classes))
    majority = Constant(counts / counts.sum())
    if np.count_nonzero(counts) < 2:
        return dict.fromkeys(["majority", *traits, *kmers, "nearest"], majority)
    train, validation = (_sample(dataset, some, seed) for some in (train, _labelled(dataset, "validation")))
    return {
        "majority": majority,
        **{name: _fit(name, features, dataset, train, validation, curved=True) for name, features in traits.items()},
        **{name: _fit(name, features, dataset, train, validation) for name, features in kmers.items()},
        "nearest": Nearest(majority.frequencies),
    }


def baseline_probabilities(dataset: Dataset, split: str, *, strand: Strand, seed: int) -> dict[str, np.ndarray]:
    """Fit every baseline and read it on the labelled records of a split: float64 [records, classes] by name.

    The rows are those of `dataset.indices(split)` whose label is known, in that order.

    Raises:
        DataError: no labelled record in the train split.
    """
    indices = _labelled(dataset, split)
    return {name: baseline.probabilities(dataset, indices) for name, baseline in fit_baselines(dataset, strand=strand, seed=seed).items()}


def fit_kmers(dataset: Dataset, k: int, *, strand: Strand, roots: bool = True, seed: int = 0) -> Logistic:
    """Logistic regression on the k-mer frequencies of the train split, its regularisation chosen on the validation split.

    Args:
        strand: `both` counts a k-mer and its reverse complement together.
        roots: take square roots of the frequencies.
        seed: draws the sample of a split beyond `MOST_RECORDS`.

    Raises:
        DataError: the train split has no labelled record, or records of one class only.
    """
    train, validation = (_sample(dataset, _labelled(dataset, split), seed) for split in ("train", "validation"))
    if len(np.unique(dataset.label_ids[train])) < 2:
        raise DataError("the train split has fewer than two classes", where=str(dataset.folder), hint="a regression tells classes apart")
    return _fit(f"kmer{k}", partial(_kmer_features, k=k, strand=strand, roots=roots), dataset, train, validation)


def _labelled(dataset: Dataset, split: str) -> np.ndarray:
    indices = dataset.indices(split)
    return indices[dataset.label_ids[indices] >= 0]


def _sample(dataset: Dataset, indices: np.ndarray, seed: int) -> np.ndarray:
    if len(indices) <= MOST_RECORDS:
        return indices
    _log.info("baselines: fitted on %d of %d records", MOST_RECORDS, len(indices))
    return indices[sampled(dataset.label_ids[indices], MOST_RECORDS, np.random.default_rng(seed), sure=_SURE)]


def _fit(name: str, features: Features, dataset: Dataset, train: np.ndarray, validation: np.ndarray, *, curved: bool = False) -> Logistic:
    scaler = make_pipeline(Splines(), StandardScaler(copy=False)) if curved else StandardScaler(copy=False)
    table = scaler.fit_transform(features(dataset, train))
    class_count = len(dataset.classes)
    if not len(validation):
        with fitting():
            [model] = regularised(table, dataset.label_ids[train], (DEFAULT_STRENGTH,))
        return Logistic(features, scaler, model, class_count)
    unseen, truth = scaler.transform(features(dataset, validation)), dataset.label_ids[validation]

    def quality(model: LogisticRegression) -> tuple[float, float]:
        probabilities = _of_all_classes(model, unseen, class_count)
        return macro_f1(truth, probabilities), -log_loss(truth, probabilities)

    labels = dataset.label_ids[train]
    models = chain.from_iterable(regularised(table, labels, STRENGTHS, weights) for weights in _weightings(labels, class_count))
    with fitting():
        model = max(models, key=quality)
    _log.debug("baseline %s: C = %g, chosen on the validation split", name, model.C)
    return Logistic(features, scaler, model, class_count)


def _weightings(labels: np.ndarray, class_count: int) -> list[np.ndarray | None]:
    """How much each record may count: all alike; and where a class is much smaller than another one, each class alike, as in training: a gain in macro-F1
    that came of the weights alone would be none."""
    counts = np.bincount(labels)
    uneven = counts.max() >= _UNEVEN * counts[counts > 0].min()
    return [None, class_factors(labels, class_count, _LIMIT)[labels]] if uneven else [None]


def regularised(
    table: np.ndarray, labels: np.ndarray, strengths: tuple[float, ...], weights: np.ndarray | None = None
) -> Iterator[LogisticRegression]:
    """Models from the most to the least regularised, each started from the one before; to be called within `fitting`.

    Args:
        weights: float [record], how much each counts; None counts all alike.
    """
    model = LogisticRegression(max_iter=_MOST_ITERATIONS, warm_start=True)
    for strength in strengths:
        model.set_params(C=strength).fit(table, labels, sample_weight=weights)
        yield copy.deepcopy(model)


@contextmanager
def fitting() -> Iterator[None]:
    """Around `regularised`, and around threads that call it: what this sets is the whole process's."""
    # One thread a fit: the products are small, and BLAS threads that wait for each other took ten times as long on two busy cores.
    with threadpool_limits(1), warnings.catch_warnings():
        # Stopping early is one more regularisation, which the validation split judges too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few records a class are what they are
        yield


def _of_all_classes(model: LogisticRegression, table: np.ndarray, class_count: int) -> np.ndarray:
    """The model's probabilities with a column for every class, float64; those it has not seen get 0."""
    probabilities = np.zeros((len(table), class_count))
    probabilities[:, model.classes_] = model.predict_proba(table)
    return probabilities / probabilities.sum(axis=1, keepdims=True)  # float32 rows sum to 1 within 1e-7


def _kmer_features(dataset: Dataset, indices: np.ndarray, *, k: int, strand: Strand, roots: bool = True) -> np.ndarray:
    table = distinct_frequencies(dataset, indices, k, strand)
    return np.sqrt(table, out=table) if roots else table


def baseline_memory(records: int, *, strands: int) -> int:
    """Bytes that `fit_baselines` takes at most, about: the 6-mers of the records that it is fitted on, and of up to a quarter as many that it is judged by."""
    return int(4 * (4**6 // strands) * 1.25 * min(records, MOST_RECORDS))
