"""The network's composition branch: a logistic regression on k-mer frequencies, which is fitted before training starts.

Composition alone decides most questions well, and a convex fit finds it better than gradient steps on a few hundred records do. So the network starts as that
regression and learns only what it gets wrong. But it has seen its training records, whose answers it knows better than anyone else's: in training each
record gets the answer of a regression that was fitted without it and its relatives (out of fold).
"""

import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from genomix.baselines import fitting
from genomix.data.augment import Strand
from genomix.data.balance import sampled
from genomix.data.frequencies import ROWS_AT_ONCE, complement_order, distinct_frequencies, distinct_kmers, shorter_frequencies
from genomix.data.related import drawn_together
from genomix.data.store import Dataset
from genomix.nn.classifier import Classifier
from genomix.nn.composition import LEAST, Composition
from genomix.train.composition_fit import Features, Fit, choose, fits, most_threads

_log = logging.getLogger(__name__)

SHORTEST = 3
"""Letters of the words that are tried beside the tokenizer's: of few or short records long words are too rare to learn from."""
FOLDS = 5
MOST_COMPARED, MOST_FITTED = 6_000, 20_000
"""Training records on which forms and strengths are compared, many times each, and on which the regression is then fitted."""
_COPIES = 3
"""Of the frequencies that are fitted on: in their form, standardised, and what scikit-learn makes of them."""
_REMEMBERED = 36
"""Arrays of the size of the weights that the solver works with (L-BFGS with ten corrections)."""
_ANSWERS = 4
"""Arrays of the size of answers to the sample that a fit or what it is asked takes."""


@dataclass(frozen=True, slots=True)
class _Words:
    """The frequencies that the network has of a dataset's records: of its tokens, k-mers, and of the shorter words that these begin with."""

    dataset: Dataset
    k: int
    strand: Strand

    def shares(self, records: np.ndarray, short: int) -> np.ndarray:
        return self.shorter(distinct_frequencies(self.dataset, records, self.k, self.strand), short)

    def shorter(self, table: np.ndarray, short: int) -> np.ndarray:
        return shorter_frequencies(table, self.k, short, self.strand)

    def of_all_lengths(self, table: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Letters and frequencies, of the longest words first."""
        for short in range(self.k, min(self.k, SHORTEST) - 1, -1):
            yield short, self.shorter(table, short)


def fit_composition(
    model: Classifier, dataset: Dataset, records: np.ndarray, k: int, *, strand: Strand, seed: int, weights: np.ndarray
) -> Tensor | None:
    """Fit the model's composition branch on the training records, and give what it should say of each of them while the rest is trained.

    Words of how many letters are counted, what is made of their frequencies, and how strongly to regularise is decided by the log loss on training records
    left out (relatives stay together) and on the validation split.

    Args:
        k: letters of a token; no longer words are counted.
        weights: float64 [class], how much a record of each class counts.

    Returns:
        float32 [record of the dataset, class], log probabilities; None where fewer than two classes have several records: then the branch stays silent.
        Of a record that can't be left out, as it is the only one of its class, nothing is said: all classes are equal.
    """
    assert model.composition is not None
    rng = np.random.default_rng((seed, 2))
    family = np.unique(drawn_together(dataset, records), return_inverse=True)[1]
    places = sampled(dataset.label_ids[records], MOST_FITTED, rng, sure=FOLDS)
    sample = records[places]
    compared = sampled(dataset.label_ids[sample], MOST_COMPARED, rng, sure=FOLDS)
    folds, some = (_folds(dataset.label_ids[sample[each]], family[places[each]]) for each in (np.arange(len(sample)), compared))
    if folds is None or some is None:
        _log.warning("no start from k-mer frequencies: fewer than two classes have several training records")
        return None
    _log.info("composition: fitting regressions on %d records of %d classes", len(sample), len(np.unique(dataset.label_ids[sample])))
    words, everything = _Words(dataset, k, strand), np.arange(len(sample))
    validation = rng.permutation(dataset.indices("validation"))[:MOST_COMPARED]
    both = np.concatenate([sample, validation])
    labels = dataset.label_ids[both]
    parts = [*((compared[kept], compared[left_out]) for kept, left_out in some), (compared, len(sample) + np.arange(len(validation)))]
    table = words.shares(both, k)
    form, path = choose(words.of_all_lengths(table), labels, parts, weights, drawn_together(dataset, both))
    table = words.shorter(table, form.k)
    rest = np.setdiff1d(np.arange(len(records)), places)
    out_of = _left_out_by(folds, family[places], family[rest])
    answers = np.full((len(dataset), len(weights)), max(-np.log(len(weights)), LEAST), dtype=np.float32)

    def answer(part: int) -> tuple[Features, Fit]:
        kept, left_out = [*folds, (everything, everything[:0])][part]
        features = Features.of(form, table[kept])
        *_, fit = fits(features(table[kept]), labels[kept], weights, path)
        known = left_out[np.isin(labels[left_out], labels[kept])]
        if len(known):
            answers[sample[known]] = fit.answers(features(table[known]))
        unseen = records[rest[out_of == part]]
        unseen = unseen[np.isin(dataset.label_ids[unseen], labels[kept])]
        for start in range(0, len(unseen), ROWS_AT_ONCE):
            some = unseen[start : start + ROWS_AT_ONCE]
            answers[some] = fit.answers(features(words.shares(some, form.k)))
        return features, fit

    with ThreadPoolExecutor(most_threads()) as threads, fitting():
        *_, (features, whole) = threads.map(answer, range(len(folds) + 1))
    _fill(model.composition, features, whole, words)
    said = answers[sample, dataset.label_ids[sample]]
    _log.info("composition: %s, C = %g, log loss %.3f on training records left out", form, path[-1], -said.mean(dtype=np.float64))
    return torch.from_numpy(answers)


def composition_memory(records: int, k: int, *, strands: int, classes: int, answered: int) -> int:
    """Bytes that `fit_composition` takes for a while at most, about: the answers to all records; the frequencies of a sample and of as many validation
    records, of these in their form too; and in each thread copies of the sample's, or one copy and what the solver works with, or what some records are
    counted in.

    Args:
        records: that are trained on.
        answered: records of the dataset.
    """
    compared, fitted = (min(records, most) for most in (MOST_COMPARED, MOST_FITTED))
    columns, rows = 4**k // strands, 1 if classes == 2 else classes
    table, weights, of_classes = 4 * fitted * columns, 8 * columns * rows, 4 * fitted * classes
    counting = 2 * 4 * 4**k * min(2 * fitted, ROWS_AT_ONCE)
    thread = max(_COPIES * table, table + max(counting, _REMEMBERED * weights + _ANSWERS * of_classes))
    return 4 * answered * classes + table + 2 * 4 * compared * columns + most_threads() * thread


def _fill(composition: Composition, features: Features, whole: Fit, words: _Words) -> None:
    partner = complement_order(words.k) if words.strand == "both" else np.arange(4**words.k)
    columns = distinct_kmers(features.form.k, words.strand)
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
        divisor=4 ** (words.k - features.form.k),
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
