"""FracMinHash sketches of a dataset's records.

A record's sketch is the set of its hashed canonical 16-mers (a k-mer and its reverse complement count as one) whose hash is at most a limit, the same limit
for the whole dataset (Irber et al. 2022, doi:10.1101/2022.01.11.475838). The share of the smaller sketch found in the other one, to the power of 1/16,
estimates the identity of two records over the shorter one.

`bases.npy` is read again, in spans that do not care for records, by threads that need no lock while they compute. Beside parsing they would only wait:
a parser never lets go of the interpreter.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from genomix.data.kmer_hashes import K, KmerHasher
from genomix.data.store import read_bases

MOST_HASHES = 1 << 24
"""Hashes of a whole dataset, about; 8 bytes each."""

ENOUGH_HASHES = 100
"""Hashes that a short record (the 5th percentile of lengths) should have. An identity of .95 is then estimated with a standard error of .0075."""

_SPAN_BASES = 1 << 22
_RANGES = 16
"""The hashes are sorted in so many parts: faster, and in less memory, than all at once."""
_MOST_THREADS = 8

_ALL = 2**32 - 1
_HASH_SHIFT = np.uint64(32)
_OWNER_MASK = np.uint64(_ALL)


@dataclass(frozen=True)
class Sketches:
    """The sketches of a dataset's records.

    Attributes:
        shared: 0/1 matrix [record, hash] of the hashes that two records or more have.
        sizes: int64 [record], hashes of each record, shared or not.
        density: the fraction of all hashes that is kept.
    """

    shared: csr_array
    sizes: np.ndarray
    density: float


def sketch_records(bases: Path, offsets: np.ndarray, lengths: np.ndarray) -> Sketches:
    """Sketch every record.

    Args:
        bases: `bases.npy`.
        offsets, lengths: int64 [record], where each record's bases lie; offsets rise.
    """
    limit = hash_limit(lengths)
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        starts = range(0, int(offsets[-1] + lengths[-1]), _SPAN_BASES)
        spans = list(threads.map(lambda start: _span_keys(bases, start, offsets, lengths, limit), starts))
        bounds = np.array([(limit + 1) * part // _RANGES << 32 for part in range(1, _RANGES)], dtype=np.uint64)
        ranges = zip(*(np.split(keys, np.searchsorted(keys, bounds)) for keys in spans), strict=True)
        sizes = np.zeros(len(lengths), dtype=np.int64)
        shared = []
        for counts, keys in threads.map(lambda parts: _count_and_share(parts, len(lengths)), ranges):
            sizes += counts
            shared.append(keys)
    return Sketches(_matrix(np.concatenate(shared), len(lengths)), sizes, (limit + 1) / 2**32)


def hash_limit(lengths: np.ndarray) -> int:
    """The highest hash kept: so that short records have enough hashes, as far as all fit in memory."""
    short = max(float(np.quantile(lengths, 0.05)), 1.0)
    density = min(1.0, ENOUGH_HASHES / short, MOST_HASHES / float(lengths.sum()))
    return int(density * _ALL)


def _span_keys(bases: Path, start: int, offsets: np.ndarray, lengths: np.ndarray, limit: int) -> np.ndarray:
    """uint64, sorted: hash << 32 | record, for the small hashes of the k-mers that begin in a span. Where a record repeats a k-mer, so does this."""
    places, hashes = KmerHasher().small_hashes(read_bases(bases, start, _SPAN_BASES + K - 1), limit)
    places += start
    owners = np.searchsorted(offsets, places, side="right") - 1
    whole = (owners >= 0) & (places + K <= offsets[owners] + lengths[owners])  # the others reach into the next record, or lie in a gap
    keys = hashes[whole].astype(np.uint64) << _HASH_SHIFT | owners[whole].astype(np.uint64)
    keys.sort()
    return keys


def _count_and_share(spans: Iterable[np.ndarray], records: int) -> tuple[np.ndarray, np.ndarray]:
    """For one range of hashes: int64 [record], how many each record has; and the sorted keys of the hashes that two records or more have.

    Args:
        spans: sorted keys.
    """
    keys = np.concatenate(list(spans))
    keys.sort(kind="stable")  # merges what is sorted already
    keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
    again = (keys[1:] >> _HASH_SHIFT) == (keys[:-1] >> _HASH_SHIFT)
    shared = np.zeros(len(keys), dtype=bool)
    shared[1:] |= again
    shared[:-1] |= again
    return np.bincount(_owners(keys), minlength=records), keys[shared]


def _matrix(keys: np.ndarray, records: int) -> csr_array:
    """Sorted keys as a 0/1 matrix [record, hash]."""
    another = (keys[1:] >> _HASH_SHIFT) != (keys[:-1] >> _HASH_SHIFT)
    columns = np.cumsum(np.append(False, another)[: len(keys)], dtype=np.int32)
    width = int(columns[-1]) + 1 if len(keys) else 0
    return csr_array((np.ones(len(keys), dtype=np.int32), (_owners(keys).astype(np.int32), columns)), shape=(records, width))


def _owners(keys: np.ndarray) -> np.ndarray:
    return (keys & _OWNER_MASK).astype(np.int64)
