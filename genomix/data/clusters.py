"""Near-duplicate clusters of records, from sketches.

Clusters are single-linkage: two records with at least the given similarity (see `pairs`) are always in one, directly or through others.

Thousands of relatives of one virus are one cluster, or a few, and comparing each with each would be the most of the work. So the record that shares most
is looked up first and its cluster filled by flooding: a record that the flood has reached is compared with those that it has not reached only. What is left
when no large cluster is left is compared pair by pair.
"""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from genomix.data.pairs import PairCounter
from genomix.data.sketches import Sketches

_FLOOD_WEIGHT = 1 << 28
"""Shared hashes of all pairs together above which flooding is tried: about a second's work."""
_LARGE = 0.1
"""The fraction of the records that a cluster has to take for a flood to be worth its while."""
_PATIENCE = 16
"""Floods that were not worth their while after which no more are tried."""


def find_clusters(sketches: Sketches, similarity: float) -> np.ndarray:
    """int64 [record]: the number of each record's cluster, from 0 in order of first appearance.

    A record too short to have a hash is a cluster of its own.
    """
    clusters = np.arange(len(sketches.sizes))
    for level in sketches.levels:
        _, first, number = np.unique(_clusters(level, similarity), return_index=True, return_inverse=True)
        clusters = merge(clusters, np.arange(len(number)), first[number])
    return number_by_appearance(clusters)


def number_by_appearance(values: np.ndarray) -> np.ndarray:
    """int64 [record]: equal values get equal numbers, from 0 in order of first appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _clusters(sketches: Sketches, similarity: float) -> np.ndarray:
    """int64 [record]: a number for each cluster, on one level."""
    representatives, members = collapse(sketches)
    clusters = np.arange(len(representatives))
    rest = _flood(sketches, representatives, similarity, clusters)
    counter = PairCounter(sketches, representatives[rest], representatives[rest], floor=similarity)
    measured = np.flatnonzero(np.isfinite(sketches.sizes[representatives[rest]]))  # two of infinite size are not compared
    for row, column, alike in counter.pairs(measured):
        first, second = rest[row], rest[column]
        linking = (alike >= similarity) & (clusters[first] != clusters[second])
        if linking.any():
            clusters = merge(clusters, first[linking], second[linking])
    return clusters[members]


def _flood(sketches: Sketches, records: np.ndarray, similarity: float, clusters: np.ndarray) -> np.ndarray:
    """Write the clusters of records that share most into `clusters`, and give the places of the records that are in none of these.

    Args:
        records: int64 [place], record numbers.
        clusters: int64 [place]; each record's own place so far.
    """
    rest, failures = np.arange(len(records)), 0
    while len(rest) and failures < _PATIENCE:
        counter = PairCounter(sketches, records[rest], records[rest], floor=similarity)
        if counter.weight.sum() <= _FLOOD_WEIGHT:
            break
        reached = np.zeros(len(rest), dtype=bool)
        for seed in np.argsort(-counter.weight, kind="stable")[: len(rest)]:
            if reached[seed]:
                continue
            flooded = _reach(sketches, records[rest], int(seed), counter, reached=reached, similarity=similarity)
            clusters[rest[flooded]] = rest[seed]
            failures = failures + 1 if len(flooded) < _LARGE * len(rest) else 0
            if failures == 0 or failures >= _PATIENCE:
                break
        rest = rest[~reached]
    return rest


def _reach(
    sketches: Sketches, records: np.ndarray, seed: int, counter: PairCounter, *, reached: np.ndarray, similarity: float
) -> np.ndarray:
    """int64: the places of the records of the cluster that `seed` is in; they are marked in `reached`.

    Args:
        records: int64 [place], record numbers.
        counter: of these records with each other.
        reached: bool [place]; those marked are in other clusters.
    """
    columns, frontier = np.arange(len(records)), np.array([seed])
    flooded, size = [frontier], 1
    reached[seed] = True
    while len(frontier):
        block, frontier = frontier[:size], frontier[size:]
        size *= 2  # the first few reach most of a cluster, and then there is little left to compare the others with
        for _, second, alike in counter.pairs(block):
            new = np.unique(columns[second[alike >= similarity]])
            new = new[~reached[new]]
            reached[new] = True
            flooded.append(new)
            frontier = np.append(frontier, new)
        left = np.flatnonzero(~reached)
        if len(frontier) and len(left) < len(columns) / 2:
            columns = left
            counter = PairCounter(sketches, records, records[left], floor=similarity)
    return np.concatenate(flooded)


def merge(clusters: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """int64 [record]: clusters after linking the pairs (first, second).

    Args:
        clusters: int64 [record], from 0 to below the number of records.
        first, second: int64 [pair], records.
    """
    links = coo_array((np.ones(len(first), dtype=np.int8), (clusters[first], clusters[second])), shape=(len(clusters), len(clusters)))
    return connected_components(links, directed=False)[1][clusters]


def collapse(sketches: Sketches) -> tuple[np.ndarray, np.ndarray]:
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
