"""The network's composition branch: a logistic regression on k-mer frequencies, which is fitted before training starts.

Composition alone decides most questions well, and a convex fit finds it better than gradient steps on a few hundred records do. So the network starts as that
regression and learns only what it gets wrong. But it has seen its training records, whose answers it knows better than anyone else's: in training each
record gets the answer of a regression that was fitted without it and its relatives (out of fold).
"""

import logging
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from genomix.baselines import regularised
from genomix.data.augment import Strand
from genomix.data.frequencies import complement_order, kmer_frequencies
from genomix.data.related import drawn_together
from genomix.data.store import Dataset
from genomix.nn.classifier import Classifier
from genomix.nn.composition import bounded

_log = logging.getLogger(__name__)

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""scikit-learn's C: smaller is more regularised."""
POWERS = (1.0, 0.5)
"""Frequencies as they are, or their square roots, which even out the variances of rare and common k-mers; neither is better everywhere."""
FOLDS = 5
MOST_RECORDS = 6_000


@dataclass(frozen=True, slots=True)
class _Fit:
    """Logistic regression on standardised features: logits = features @ weight + bias."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        return features @ self.weight + self.bias


def fit_composition(
    model: Classifier, dataset: Dataset, records: np.ndarray, k: int, *, strand: Strand, seed: int, weights: np.ndarray
) -> Tensor | None:
    """Fit the model's composition branch on the training records, and give what it should say of each of them while the rest is trained.

    How strongly to regularise, and whether to take square roots, is decided by the log loss on the validation split, or on a fold of the training
    records where there is none.

    Args:
        weights: float64 [class], how much a record of each class counts.

    Returns:
        float32 [record of the dataset, class], log probabilities; None where relatives can't be told apart in two folds: then the branch stays silent.
    """
    assert model.composition is not None
    rng = np.random.default_rng((seed, 2))
    sample = np.sort(rng.permutation(records)[:MOST_RECORDS])
    folds = _folds(dataset, sample)
    if folds is None:
        return None
    labels, shares = dataset.label_ids[sample], kmer_frequencies(dataset, sample, k, strand)
    validation = rng.permutation(dataset.indices("validation"))[:MOST_RECORDS]
    if len(validation):
        power, strength = _choose(shares, labels, kmer_frequencies(dataset, validation, k, strand), dataset.label_ids[validation], weights)
    else:
        kept, left_out = folds[0]
        power, strength = _choose(shares[kept], labels[kept], shares[left_out], labels[left_out], weights)
    features = shares**power
    whole = _fit(features, labels, weights, strength)
    answers = np.zeros((len(dataset), len(weights)), dtype=np.float32)
    for kept, left_out in folds:
        known = left_out[np.isin(labels[left_out], labels[kept])]  # of a class that was left out whole nothing can be said: all are equal
        answers[sample[known]] = _fit(features[kept], labels[kept], weights, strength).logits(features[known])
    rest = np.setdiff1d(records, sample)
    for some in np.array_split(rest, -(-len(rest) // 1024) or 1):  # not in the sample: the whole fit has not seen them
        answers[some] = whole.logits(kmer_frequencies(dataset, some, k, strand) ** power)
    partner = complement_order(k) if strand == "both" else np.arange(4**k)
    model.composition.fill(torch.from_numpy(whole.weight), torch.from_numpy(whole.bias), power=power, partner=torch.from_numpy(partner))
    result = bounded(torch.from_numpy(answers))
    chosen = result[torch.from_numpy(sample), torch.from_numpy(labels)]
    _log.info(
        "composition: %d-mer frequencies%s, C = %g, log loss %.3f on training records left out",
        k,
        "" if power == 1 else " (square roots)",
        strength,
        -float(chosen.mean()),
    )
    return result


def _folds(dataset: Dataset, records: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """(kept, left out) positions in `records`; relatives stay together, as far as every class can then be on both sides."""
    labels, together = dataset.label_ids[records], drawn_together(dataset, records)
    together = np.arange(len(records)) if together is None else np.unique(together, return_inverse=True)[1]
    count = min(FOLDS, *(len(np.unique(together[labels == label])) for label in np.unique(labels)))
    if count < 2:
        return None
    return list(StratifiedGroupKFold(count).split(records, labels, together))


def _choose(shares: np.ndarray, labels: np.ndarray, judged: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """(power, C) of the lowest log loss, each record weighted by its class."""

    def log_loss(choice: tuple[float, float]) -> float:
        power, strength = choice
        answers = bounded(torch.from_numpy(_fit(shares**power, labels, weights, strength).logits(judged**power)))
        return -float(answers[torch.arange(len(truth)), torch.from_numpy(truth)].double().numpy() @ weights[truth])

    return min(product(POWERS, STRENGTHS), key=log_loss)


def _fit(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, strength: float) -> _Fit:
    """A class without records gets the lowest logit there is."""
    scaler = StandardScaler().fit(features)
    if len(np.unique(labels)) < 2:
        coefficients, intercept, known = np.zeros((1, features.shape[1])), np.zeros(1), np.unique(labels)
    else:
        [model] = regularised(scaler.transform(features), labels, (strength,), weights[labels])
        coefficients, intercept, known = model.coef_, model.intercept_, model.classes_
    if len(known) == 2:  # one row then, the second class's margin over the first
        coefficients, intercept = np.stack([-coefficients[0], coefficients[0]]) / 2, np.array([-intercept[0], intercept[0]]) / 2
    weight = np.zeros((features.shape[1], len(weights)), dtype=np.float32)
    weight[:, known] = (coefficients / scaler.scale_).T
    bias = np.full(len(weights), -50.0, dtype=np.float32)
    bias[known] = intercept - (coefficients / scaler.scale_) @ scaler.mean_
    return _Fit(weight, bias)
