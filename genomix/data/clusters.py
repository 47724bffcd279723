"""Near-duplicate clusters of records, and how alike the two sides of a split are, from sketches.

The similarity of two records is (shared hashes / hashes of the smaller sketch) ** (1 / K): an estimate of the identity over the shorter record, whichever
strand, so a piece is as similar to its whole as the whole to itself. Clusters are single-linkage: two records with at least the given similarity are
always in one, directly or through others.

Counting shared hashes is the product of a sparse 0/1 matrix with its transpose, in blocks of rows so that memory does not grow with the square of the
records. Where an average pair shares a hash or more (thousands of relatives of one virus) that product is dense, and the hashes that many records have
go through a dense matrix product instead, a hundred times faster.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from genomix.data.kmer_hashes import K
from genomix.data.sketches import Sketches

_SPARSE_BLOCK = 1 << 22
"""Products of a block of rows at most, where the matrix of pairs is mostly empty."""
_DENSE_BLOCK = 1 << 21
"""Pairs of a block of rows where it is full."""
_DENSE_COLUMNS = 1 << 24
"""Numbers held in the dense part, 4 bytes each."""
_FULL = 1
"""Hashes shared by an average pair from which on the matrix of pairs counts as full."""
_FREQUENT = 0.05
"""A hash in more than this fraction of the records costs less in the dense product than in the sparse one."""

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Record, other record, their similarity: three arrays of one length."""


def find_clusters(sketches: Sketches, similarity: float) -> np.ndarray:
    """int64 [record]: the number of each record's cluster, from 0 in order of first appearance.

    A record too short to have a hash is a cluster of its own.
    """
    representatives, members = _collapse(sketches)
    counter = _PairCounter(sketches, representatives, floor=similarity)
    clusters = np.arange(len(representatives))
    for first, second, alike in counter.pairs(clusters):
        linking = (alike >= similarity) & (clusters[first] != clusters[second])
        if linking.any():
            clusters = _merge(clusters, first[linking], second[linking])
    return number_by_appearance(clusters[members])


def highest_similarity(sketches: Sketches, sides: np.ndarray) -> float:
    """The similarity of the most alike pair of records on two different sides; 0 where no pair shares a hash.

    Args:
        sides: int [record], which side of the split each is on.
    """
    representatives, members = _collapse(sketches)
    side = sides[representatives]
    if (side[members] != sides).any():
        return 1.0
    counter = _PairCounter(sketches, representatives)
    smaller_sides = np.flatnonzero(side != np.bincount(side).argmax())
    for first, second, alike in counter.pairs(smaller_sides):
        counter.floor = max(counter.floor, float(alike[side[first] != side[second]].max(initial=0.0)))
        if counter.floor == 1:
            break
    return counter.floor


def number_by_appearance(values: np.ndarray) -> np.ndarray:
    """int64 [record]: equal values get equal numbers, from 0 in order of first appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


class _PairCounter:
    """The pairs of some records that share hashes, block by block.

    Attributes:
        floor: the least similarity of a pair that matters; may be raised between blocks.
    """

    def __init__(self, sketches: Sketches, records: np.ndarray, *, floor: float = 0.0) -> None:
        self.floor = floor
        shared = sketches.shared[records]
        self.sizes = sketches.sizes[records].astype(np.float32)
        self.fewest = max(float(self.sizes.min(initial=1)), 1.0)
        frequency = np.bincount(shared.indices, minlength=shared.shape[1]).astype(np.float64)
        self.dense: np.ndarray | None = None
        if (frequency**2).sum() > _FULL * len(records) ** 2:
            frequent = _most_frequent(frequency, len(records))
            self.dense = shared[:, np.flatnonzero(frequent)].toarray().astype(np.float32)
            shared = shared[:, np.flatnonzero(~frequent)]
            frequency = frequency[~frequent]
        self.shared = shared
        self.transposed = shared.T.tocsr()
        self.cost = shared @ frequency

    def pairs(self, rows: np.ndarray) -> Iterator[Pairs]:
        """Every pair (row, any record) that shares a hash and is at least as similar as the floor; a record is paired with itself too."""
        for block in self._blocks(rows):
            least = self.floor**K * (1 - 1e-6)  # shares are float32
            first, second, share = self._dense_shares(block, least) if self.dense is not None else self._sparse_shares(block, least)
            yield block[first], second, share.astype(np.float64) ** (1 / K)

    def _blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        if self.dense is not None:
            return np.array_split(rows, max(1, -(-len(rows) * len(self.sizes) // _DENSE_BLOCK)))
        filled = np.cumsum(self.cost[rows]) // _SPARSE_BLOCK
        return np.split(rows, np.flatnonzero(np.diff(filled)) + 1)

    def _sparse_shares(self, block: np.ndarray, least: float) -> Pairs:
        counts = (self.shared[block] @ self.transposed).tocoo()
        many = counts.data >= least * self.fewest  # most pairs fail even this
        first, second = (place[many] for place in counts.coords)
        shares = counts.data[many] / np.minimum(self.sizes[block][first], self.sizes[second])
        close = shares >= least
        return first[close], second[close], shares[close]

    def _dense_shares(self, block: np.ndarray, least: float) -> Pairs:
        assert self.dense is not None
        shares = self.dense[block] @ self.dense.T
        rest = (self.shared[block] @ self.transposed).tocoo()
        shares[rest.coords] += rest.data
        shares /= np.maximum(np.minimum.outer(self.sizes[block], self.sizes), 1)
        first, second = np.nonzero(shares >= max(least, np.finfo(np.float32).tiny))
        return first, second, shares[first, second]


def _most_frequent(frequency: np.ndarray, records: int) -> np.ndarray:
    """bool [hash]: those in many records, as many as fit in memory as a dense matrix."""
    chosen = np.argsort(-frequency, kind="stable")[: _DENSE_COLUMNS // records]
    frequent = np.zeros(len(frequency), dtype=bool)
    frequent[chosen] = frequency[chosen] > _FREQUENT * records
    return frequent


def _merge(clusters: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Clusters after linking the pairs (first, second)."""
    links = coo_array((np.ones(len(first), dtype=np.int8), (clusters[first], clusters[second])), shape=(len(clusters), len(clusters)))
    return connected_components(links, directed=False)[1][clusters]


def _collapse(sketches: Sketches) -> tuple[np.ndarray, np.ndarray]:
    """One record for each distinct sketch.

    Returns:
        int64 [distinct], the representatives; int64 [record], each record's place among them.
    """
    shared, count = sketches.shared, len(sketches.sizes)
    names = np.random.default_rng(0).integers(1 << 63, size=shared.shape[1], dtype=np.int64)
    signature = _row_sums(shared, names)
    alone = (np.diff(shared.indptr) < sketches.sizes) | (sketches.sizes == 0)
    signature[alone] = -1 - np.arange(count)[alone]
    _, representatives, members = np.unique(signature, return_index=True, return_inverse=True)
    return representatives, members


def _row_sums(matrix: csr_array, values: np.ndarray) -> np.ndarray:
    """int64 [row]: the sum of the values of the columns that a row has, wrapped around at 2^63 and never negative."""
    running = np.concatenate([[0], np.cumsum(values[matrix.indices])])
    return (running[matrix.indptr[1:]] - running[matrix.indptr[:-1]]) & np.int64(2**63 - 1)
