"""The classifier that only remembers: a record gets the label of the training record whose sketch is most like its own.

Sketches and similarity are those of the near-duplicate search (`data.sketches`, `data.clusters`): hashed canonical 16-mers, so either strand, and the share
of the smaller sketch that is in the other one, to the power of 1/16. Where this does as well as a network, the test records are relatives of training
records, and nothing shows that the network would do on others.
"""

import logging
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from genomix.data.kmer_hashes import K, KmerHasher
from genomix.data.sketches import hash_limit
from genomix.data.store import Dataset
from genomix.records import OTHER

_log = logging.getLogger(__name__)

_RECORDS_AT_ONCE = 1024
_BASES_AT_ONCE = 1 << 21
_MOST_MATCHES = 1 << 31
"""Matching hashes that comparing the training records with each other would count; a set of closer relatives has its sketches thinned to stay below it."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Training records to compare with.

    Attributes:
        limit: the highest hash kept.
        vocabulary: uint32, sorted: the hashes of all training records.
        holders: 0/1 float32 [hash, training record].
        sizes: int64 [training record], hashes of each.
        classes: 0/1 float64 [training record, class].
        frequencies: float64 [class], of the training records.
    """

    limit: int
    vocabulary: np.ndarray
    holders: csr_array
    sizes: np.ndarray
    classes: np.ndarray
    frequencies: np.ndarray

    def probabilities(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
        """The similarity s of the nearest training record goes to its label, 1 - s to the class frequencies, float64 [records, classes].

        Equally near training records share the s. A record that shares no hash with any gets the class frequencies.
        """
        parts = [indices[start : start + _RECORDS_AT_ONCE] for start in range(0, len(indices), _RECORDS_AT_ONCE)]
        return np.concatenate([np.empty((0, len(self.frequencies))), *(self._probabilities(dataset, part) for part in parts)])

    def _probabilities(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
        sketches = _sketches(dataset, indices, self.limit)
        shared = (_matrix(sketches, self.vocabulary) @ self.holders).toarray()
        shares = shared / np.maximum(np.minimum.outer(_sizes(sketches), self.sizes), 1)
        best = shares.max(axis=1, keepdims=True)
        votes = ((shares == best) & (best > 0)) @ self.classes
        similarity = best ** (1 / K)
        return similarity * votes / np.maximum(votes.sum(axis=1, keepdims=True), 1) + (1 - similarity) * self.frequencies


def fit_nearest(dataset: Dataset, train: np.ndarray) -> Nearest:
    """Sketch these records, all labelled."""
    limit = hash_limit(np.array([len(dataset.codes(int(index))) for index in train]))
    sketches = _sketches(dataset, train, limit)
    vocabulary, counts = np.unique(np.concatenate(sketches), return_counts=True)
    matches = int((counts.astype(np.int64) ** 2).sum())
    if matches > _MOST_MATCHES:
        limit = int(limit * _MOST_MATCHES / matches)
        _log.info("nearest training record: close relatives, so one hash in %.1f is compared", matches / _MOST_MATCHES)
        sketches = [hashes[hashes <= limit] for hashes in sketches]
        vocabulary = vocabulary[vocabulary <= limit]
    classes = np.eye(len(dataset.classes))[dataset.label_ids[train]]
    holders = _matrix(sketches, vocabulary).T.tocsr()
    return Nearest(limit, vocabulary, holders, _sizes(sketches), classes, classes.mean(axis=0))


def _sketches(dataset: Dataset, indices: np.ndarray, limit: int) -> list[np.ndarray]:
    """For each record uint32, sorted: the different hashes of its 16-mers that are at most `limit`."""
    hasher, sketches, waiting, size = KmerHasher(), [], [], 0
    for index in indices:
        waiting.append(dataset.codes(int(index)))
        size += len(waiting[-1])
        if size >= _BASES_AT_ONCE:
            sketches += _sketch_together(hasher, waiting, limit)
            waiting, size = [], 0
    return sketches + _sketch_together(hasher, waiting, limit)


def _sketch_together(hasher: KmerHasher, records: list[np.ndarray], limit: int) -> list[np.ndarray]:
    """One pass over several records, an unknown base between two: a pass works on whole buffers, however short its records."""
    joined = np.concatenate([np.append(codes, np.uint8(OTHER)) for codes in records] or [np.empty(0, np.uint8)])
    starts = np.concatenate([[0], np.cumsum([len(codes) + 1 for codes in records])])
    places, hashes = hasher.small_hashes(joined, limit)
    return [np.unique(part) for part in np.split(hashes, np.searchsorted(places, starts[1:-1]))[: len(records)]]


def _sizes(sketches: list[np.ndarray]) -> np.ndarray:
    return np.array([len(hashes) for hashes in sketches], dtype=np.int64)


def _matrix(sketches: list[np.ndarray], vocabulary: np.ndarray) -> csr_array:
    """0/1 float32 [sketch, hash of the vocabulary]; other hashes are left out."""
    shape = (len(sketches), len(vocabulary))
    if not len(vocabulary):
        return csr_array(shape, dtype=np.float32)
    hashes = np.concatenate(sketches)
    columns = np.minimum(np.searchsorted(vocabulary, hashes), len(vocabulary) - 1)
    known = vocabulary[columns] == hashes
    rows = np.repeat(np.arange(len(sketches)), _sizes(sketches))
    return csr_array((np.ones(int(known.sum()), dtype=np.float32), (rows[known], columns[known])), shape=shape)
