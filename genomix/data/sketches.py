"""FracMinHash sketches of a dataset's records.

A record's sketch is the set of its hashed canonical 16-mers (a k-mer and its reverse complement count as one) whose hash is at most a limit, the same limit
for the whole dataset (Irber et al. 2022, doi:10.1101/2022.01.11.475838). The share of the smaller sketch found in the other one, to the power of 1/16,
estimates the identity of two records over the shorter one.

Where records of a few hundred bases stand beside whole genomes, that limit leaves the short ones next to nothing; and a long record that repeats itself, or
is mostly unknown bases, has few different 16-mers for its length. Both get a second, finer sketch, and of all other records the hashes that one of these has:
what a genome shares with such a record is found, and nothing else of it is kept.

`bases.npy` is read again, in spans that do not care for records, by threads that need no lock while they compute. Beside parsing they would only wait:
a parser never lets go of the interpreter.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from genomix.data.kmer_hashes import K, KmerHasher
from genomix.data.store import read_bases

MOST_HASHES = 1 << 24
"""Hashes of a whole dataset, about; 8 bytes each."""

MOST_FINE_HASHES = 1 << 25
"""Of the finer sketches and what others share with them: where many records are relatives of the short ones, the limit is lowered until there are no more."""

ENOUGH_HASHES = 100
"""Hashes that a short record (the 5th percentile of lengths) should have. An identity of .95 is then estimated with a standard error of .0075."""

FEW_HASHES = 50
"""A record that the common limit leaves fewer than this is sketched again with a finer one."""

_BEYOND_CHANCE = 4
"""Standard deviations that a record's hashes stay below what its length promises before it counts as one of few different 16-mers."""

_SPAN_BASES = 1 << 22
_SPAN_HASHES = 1 << 20
"""About the most of a span; spans are shorter where the limit lets most hashes pass, so that the memory of a thread stays the same."""
_RANGES = 16
"""The hashes are sorted in so many parts: faster, and in less memory, than all at once."""
_MOST_THREADS = 8

_ALL = 2**32 - 1
_HASH_SHIFT = np.uint64(32)
_OWNER_MASK = np.uint64(_ALL)
_TABLE_BITS = 24
"""At most, of a table of the hashes that short records have by their upper bits; it rules most others out. A smaller one, where these are few, stays in the cache."""


@dataclass(frozen=True)
class Sketches:
    """The sketches of a dataset's records.

    Attributes:
        shared: 0/1 matrix [record, hash] of the hashes that two records or more have.
        sizes: [record], hashes of each record, shared or not.
        density: the fraction of all hashes that is kept.
        fine: where some records have too few 16-mers for that density, their finer sketches; they have none here then. In it the other records have the
            hashes that one of these has, and a size of infinity, as a pair is measured by its smaller sketch.
    """

    shared: csr_array
    sizes: np.ndarray
    density: float
    fine: "Sketches | None" = None

    @property
    def empty(self) -> np.ndarray:
        """bool [record]: whether a record has no hash at all, so that nothing can be said of what it is like."""
        return self.counts == 0

    @property
    def counts(self) -> np.ndarray:
        """int64 [record]: the hashes that each record is known by, on the level where it has its sketch."""
        return (self.sizes if self.fine is None else np.where(np.isfinite(self.fine.sizes), self.fine.sizes, self.sizes)).astype(np.int64)

    @property
    def levels(self) -> tuple["Sketches", ...]:
        """These and the finer ones. Two records are as alike as on the level where they are more so."""
        return (self,) if self.fine is None else (self, self.fine)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where each record's bases lie in `bases.npy`: int64 [record]; offsets rise. `span` bases are read at a time."""

    bases: Path
    offsets: np.ndarray
    lengths: np.ndarray
    span: int

    def starts(self, chosen: np.ndarray | None = None) -> list[int]:
        """Of the spans that are read one at a time; of those only that hold one of the chosen records (bool [record])."""
        offsets = self.offsets if chosen is None else self.offsets[chosen]
        ends = offsets + (self.lengths if chosen is None else self.lengths[chosen])
        starts = np.arange(0, ends[-1], self.span)
        return starts[np.searchsorted(ends, starts, side="right") < np.searchsorted(offsets, starts + self.span)].tolist()

    def keys(self, start: int, limit: int, chosen: np.ndarray | None, wanted: "_Members | None" = None) -> np.ndarray:
        """uint64, sorted: hash << 32 | record, for the small hashes of the k-mers that begin in a span. Where a record repeats a k-mer, so does this.

        Args:
            chosen: bool [record], whose k-mers count; None for all.
            wanted: the hashes that count; None for all.
        """
        places, hashes = KmerHasher().small_hashes(read_bases(self.bases, start, self.span + K - 1), limit)
        if wanted is not None:
            known = wanted.contain(hashes)
            places, hashes = places[known], hashes[known]
        places += start
        owners, whole = self._owners(places, chosen)
        keys = hashes[whole].astype(np.uint64) << _HASH_SHIFT | owners
        keys.sort()
        return keys

    def _owners(self, places: np.ndarray, chosen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """uint64: the chosen records that whole k-mers at these places belong to; and bool [place], which ones do. Others reach into the next record, or lie in a gap.

        Args:
            places: int64, rising.
        """
        first, last = (np.searchsorted(self.offsets, place, side="right") for place in (places[:1], places[-1:]))
        records = np.arange(max(int(first.sum()) - 1, 0), int(last.sum()))
        if chosen is not None:
            records = records[chosen[records]]
        starts = np.searchsorted(places, self.offsets[records])
        stops = np.maximum(starts, np.searchsorted(places, self.offsets[records] + self.lengths[records] - K, side="right"))
        bounds = np.zeros(len(places) + 1, dtype=np.int32)
        np.add.at(bounds, starts, 1)
        np.subtract.at(bounds, stops, 1)
        return np.repeat(records.astype(np.uint64), stops - starts), np.cumsum(bounds[:-1]) > 0


class _Members:
    """Tells whether hashes are among these ones.

    Args:
        hashes: uint32, sorted and distinct, at least one.
    """

    def __init__(self, hashes: np.ndarray) -> None:
        self._hashes = hashes
        bits = min(_TABLE_BITS, (16 * len(hashes)).bit_length())
        self._shift, self._table = np.uint32(32 - bits), np.zeros(1 << bits, dtype=bool)
        self._table[hashes >> self._shift] = True

    def contain(self, hashes: np.ndarray) -> np.ndarray:
        """bool [hash]."""
        found = self._table.take(hashes >> self._shift)
        likely = np.flatnonzero(found)
        place = np.searchsorted(self._hashes, hashes[likely])
        found[likely] = self._hashes[np.minimum(place, len(self._hashes) - 1)] == hashes[likely]
        return found


def sketch_records(bases: Path, offsets: np.ndarray, lengths: np.ndarray) -> Sketches:
    """Sketch every record.

    Args:
        bases: `bases.npy`.
        offsets, lengths: int64 [record], where each record's bases lie; offsets rise.
    """
    places, limit = _Places(bases, offsets, lengths, _SPAN_BASES), hash_limit(lengths)
    short, fine_limit = short_records(lengths, limit)
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        long = ~short if short.any() else None
        spans = list(threads.map(lambda start: places.keys(start, limit, long), places.starts()))
        coarse = _sketches(threads, spans, limit, len(lengths))
        few, fine_limit = with_thin_records(lengths, limit, coarse.sizes, short, fine_limit)
        if (few & ~short).any():
            coarse = _sketches(threads, [keys[~few[_owners(keys)]] for keys in spans], limit, len(lengths))
        del spans
        return replace(coarse, fine=_fine_sketches(threads, places, few, fine_limit)) if few.any() else coarse


def hash_limit(lengths: np.ndarray) -> int:
    """The highest hash kept: so that short records have enough hashes, as far as all fit in memory."""
    short = max(float(np.quantile(lengths, 0.05)), 1.0)
    density = min(1.0, ENOUGH_HASHES / short, MOST_HASHES / float(lengths.sum()))
    return int(density * _ALL)


def short_records(lengths: np.ndarray, limit: int) -> tuple[np.ndarray, int]:
    """bool [record], the records to which `limit` leaves too few hashes and a finer one gives at least twice as many; and that finer limit."""
    kmers = lengths - K + 1
    short = (kmers > 0) & (kmers * (limit / _ALL) < FEW_HASHES)
    if not short.any():
        return short, limit
    density = min(1.0, ENOUGH_HASHES / float(kmers[short].min()), MOST_HASHES / float(lengths[short].sum()))
    fine = int(density * _ALL)
    return (short, fine) if fine >= 2 * limit else (np.zeros_like(short), limit)


def with_thin_records(lengths: np.ndarray, limit: int, sizes: np.ndarray, short: np.ndarray, fine: int) -> tuple[np.ndarray, int]:
    """bool [record], the short records and those of few different 16-mers, as far as a finer limit gives them enough hashes; and that limit.

    Only where a record has far fewer hashes than chance would leave it is it one of few 16-mers: the finer limit costs another look at all bases.

    Args:
        sizes: int [record], hashes within `limit`; of no meaning for the short ones.
        short, fine: as `short_records` gives them.
    """
    density = limit / _ALL
    promised = np.maximum(lengths - K + 1, 0) * density
    thin = ~short & (sizes < np.minimum(FEW_HASHES, promised - _BEYOND_CHANCE * np.sqrt(promised)))
    if not thin.any():
        return short, fine
    fewest = max(float(sizes[thin].min()) / density, ENOUGH_HASHES)  # different 16-mers; where no hash shows how many, all are wanted
    fewest = min(fewest, float((lengths[short] - K + 1).min(initial=np.iinfo(np.int64).max)))
    most = float(lengths[short].sum()) + float((sizes[thin] + 1).sum()) / density
    finer = int(min(1.0, ENOUGH_HASHES / fewest, MOST_HASHES / most) * _ALL)
    return (short | thin, finer) if finer >= 2 * limit else (short, fine)


def _fine_sketches(threads: ThreadPoolExecutor, places: _Places, short: np.ndarray, limit: int) -> Sketches:
    """The finer sketches of the short (or thin) records, and what others share with them."""
    places = replace(places, span=min(places.span, (_SPAN_HASHES << 32) // (limit + 1)))
    kept = list(threads.map(lambda start: _distinct(places.keys(start, limit, short)), places.starts(short)))
    hashes = np.unique(np.concatenate([(keys >> _HASH_SHIFT).astype(np.uint32) for keys in kept]))
    if len(hashes):
        wanted, total, first = _Members(hashes), sum(map(len, kept)), limit
        for keys in threads.map(lambda start: _distinct(places.keys(start, first, ~short, wanted)), places.starts()):
            kept.append(keys)
            total += len(keys)
            while total > MOST_FINE_HASHES and limit:
                limit //= 2
                kept = [_up_to(limit, each) for each in kept]
                total = sum(map(len, kept))
        kept = [_up_to(limit, each) for each in kept]
    fine = _sketches(threads, kept, limit, len(short))
    return replace(fine, sizes=np.where(short, fine.sizes, np.inf))


def _up_to(limit: int, keys: np.ndarray) -> np.ndarray:
    """Of sorted keys, those whose hash is within the limit; a copy, so that the memory of the others is free."""
    last = np.uint64(limit) << _HASH_SHIFT | _OWNER_MASK  # of the limit itself: the next hash may be beyond 32 bits
    return keys[: np.searchsorted(keys, last, side="right")].copy()


def _sketches(threads: ThreadPoolExecutor, spans: list[np.ndarray], limit: int, records: int) -> Sketches:
    """Sorted keys, span by span, as sketches."""
    bounds = np.array([(limit + 1) * part // _RANGES << 32 for part in range(1, _RANGES)], dtype=np.uint64)
    ranges = zip(*(np.split(keys, np.searchsorted(keys, bounds)) for keys in spans), strict=True)
    sizes = np.zeros(records, dtype=np.int64)
    shared = []
    for counts, keys in threads.map(lambda parts: _count_and_share(parts, records), ranges):
        sizes += counts
        shared.append(keys)
    return Sketches(_matrix(np.concatenate(shared), records), sizes, (limit + 1) / 2**32)


def _count_and_share(spans: Iterable[np.ndarray], records: int) -> tuple[np.ndarray, np.ndarray]:
    """For one range of hashes: int64 [record], how many each record has; and the sorted keys of the hashes that two records or more have.

    Args:
        spans: sorted keys.
    """
    keys = np.concatenate(list(spans))
    keys.sort(kind="stable")  # merges what is sorted already
    keys = _distinct(keys)
    again = (keys[1:] >> _HASH_SHIFT) == (keys[:-1] >> _HASH_SHIFT)
    shared = np.zeros(len(keys), dtype=bool)
    shared[1:] |= again
    shared[:-1] |= again
    return np.bincount(_owners(keys), minlength=records), keys[shared]


def _distinct(keys: np.ndarray) -> np.ndarray:
    """Of sorted keys, each once."""
    return keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]


def _matrix(keys: np.ndarray, records: int) -> csr_array:
    """Sorted keys as a 0/1 matrix [record, hash]."""
    another = (keys[1:] >> _HASH_SHIFT) != (keys[:-1] >> _HASH_SHIFT)
    columns = np.cumsum(np.append(False, another)[: len(keys)], dtype=np.int32)
    width = int(columns[-1]) + 1 if len(keys) else 0
    return csr_array((np.ones(len(keys), dtype=np.int32), (_owners(keys).astype(np.int32), columns)), shape=(records, width))


def _owners(keys: np.ndarray) -> np.ndarray:
    return (keys & _OWNER_MASK).astype(np.int64)
