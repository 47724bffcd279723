"""How alike records are, from the hashes that their sketches share.

The similarity of two records is (shared hashes / hashes of the smaller sketch) ** (1 / K): an estimate of the identity over the shorter record, whichever
strand, so a piece is as similar to its whole as the whole to itself.

Counting shared hashes is the product of a sparse 0/1 matrix with the transpose of another, in blocks of rows so that memory does not grow with the number
of pairs. Where an average pair shares a hash or more (thousands of relatives of one virus) that product is dense, and the hashes that many records have
go through a dense matrix product instead, a hundred times faster.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from genomix.data.kmer_hashes import K
from genomix.data.sketches import Sketches

_SPARSE_BLOCK = 1 << 22
"""Products of a block of rows at most, where the matrix of pairs is mostly empty."""
_DENSE_BLOCK = 1 << 21
"""Pairs of a block of rows where it is full."""
_DENSE_COLUMNS = 1 << 25
"""Numbers held in the dense part, 4 bytes each."""
_FULL = 1
"""Hashes shared by an average pair from which on the matrix of pairs counts as full."""
_FREQUENT = 0.05
"""A hash in more than this fraction of the records costs less in the dense product than in the sparse one."""

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Place among the rows, place among the columns, their similarity: three arrays of one length."""


class PairCounter:
    """Compares some records (the rows) with some records (the columns).

    Attributes:
        weight: float64 [row], shared hashes with all columns together: what comparing the row costs.

    Args:
        rows, columns: int [any], record numbers.
        floor: the least similarity of a pair that matters.
    """

    def __init__(self, sketches: Sketches, rows: np.ndarray, columns: np.ndarray, *, floor: float = 0.0) -> None:
        self._least = floor**K * (1 - 1e-6)  # shares are float32
        left, right = sketches.shared[rows], sketches.shared[columns]
        self._left_sizes, self._right_sizes = (sketches.sizes[some].astype(np.float32) for some in (rows, columns))
        self._fewest = max(1.0, min(float(sizes.min(initial=np.inf)) for sizes in (self._left_sizes, self._right_sizes)))
        frequency = np.bincount(right.indices, minlength=right.shape[1]).astype(np.float64)
        self.weight = left @ frequency
        self._dense: np.ndarray | None = None
        if self.weight.sum() > _FULL * len(rows) * len(columns):
            frequent = _most_frequent(frequency, len(columns))
            often, seldom = np.flatnonzero(frequent), np.flatnonzero(~frequent)
            self._dense = right[:, often].astype(np.float32).toarray()
            self._frequent = left[:, often].astype(np.float32)
            left, right = left[:, seldom], right[:, seldom]
            frequency = frequency[seldom]
        self._left, self._transposed = left, right.T.tocsr()
        self._cost = left @ frequency

    def pairs(self, rows: np.ndarray) -> Iterator[Pairs]:
        """Every pair (row, column) that shares a hash and is at least as similar as the floor; a record is paired with itself too.

        Args:
            rows: places of rows.
        """
        for block in self._blocks(rows):
            first, second, share = self._dense_pairs(block) if self._dense is not None else self._sparse_pairs(block)
            yield block[first], second, share.astype(np.float64) ** (1 / K)

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each row the most similar column, the first of several, and their similarity; -1 and 0 where it shares a hash with none."""
        count = len(self._left_sizes)
        best, share = np.full(count, -1), np.zeros(count)
        for block in self._blocks(np.arange(count)):
            best[block], share[block] = self._dense_best(block) if self._dense is not None else self._sparse_best(block)
        best[share == 0] = -1
        return best, share ** (1 / K)

    def _blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        if self._dense is not None:
            return np.array_split(rows, max(1, -(-len(rows) * len(self._right_sizes) // _DENSE_BLOCK)))
        filled = np.cumsum(self._cost[rows]) // _SPARSE_BLOCK
        return np.split(rows, np.flatnonzero(np.diff(filled)) + 1)

    def _sparse_pairs(self, block: np.ndarray) -> Pairs:
        counts = (self._left[block] @ self._transposed).tocoo()
        many = counts.data >= self._least * self._fewest  # most pairs fail even this
        first, second = (place[many] for place in counts.coords)
        shares = counts.data[many] / np.minimum(self._left_sizes[block][first], self._right_sizes[second])
        close = shares >= self._least
        return first[close], second[close], shares[close]

    def _dense_pairs(self, block: np.ndarray) -> Pairs:
        shares = self._dense_shares(block)
        first, second = np.nonzero(shares >= max(self._least, np.finfo(np.float32).tiny))
        return first, second, shares[first, second]

    def _dense_shares(self, block: np.ndarray) -> np.ndarray:
        """float32 [row of the block, column]."""
        assert self._dense is not None
        shares = self._frequent[block].toarray() @ self._dense.T
        rest = (self._left[block] @ self._transposed).tocoo()
        shares[rest.coords] += rest.data
        shares /= np.maximum(np.minimum.outer(self._left_sizes[block], self._right_sizes), 1)
        return shares

    def _dense_best(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shares = self._dense_shares(block)
        best = shares.argmax(axis=1)
        return best, shares[np.arange(len(block)), best]

    def _sparse_best(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts: csr_array = self._left[block] @ self._transposed
        best, share = np.full(len(block), -1), np.zeros(len(block))
        filled = np.flatnonzero(np.diff(counts.indptr))
        if len(filled):
            rows = np.repeat(np.arange(len(block)), np.diff(counts.indptr))
            shares = counts.data / np.minimum(self._left_sizes[block][rows], self._right_sizes[counts.indices])
            share[filled] = np.maximum.reduceat(shares, counts.indptr[filled])
            places = np.where(shares == share[rows], counts.indices, len(self._right_sizes))
            best[filled] = np.minimum.reduceat(places, counts.indptr[filled])
        return best, share


def _most_frequent(frequency: np.ndarray, records: int) -> np.ndarray:
    """bool [hash]: those in many records, as many as fit in memory as a dense matrix."""
    chosen = np.argsort(-frequency, kind="stable")[: _DENSE_COLUMNS // records]
    frequent = np.zeros(len(frequency), dtype=bool)
    frequent[chosen] = frequency[chosen] > _FREQUENT * records
    return frequent
