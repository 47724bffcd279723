"""The nearest record of each record on the other side of a split."""

import numpy as np

from genomix.data.clusters import collapse
from genomix.data.pairs import PairCounter
from genomix.data.sketches import Sketches


def nearest(sketches: Sketches, rows: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each record the most similar one among others, the first of several that are equally similar.

    Args:
        rows, among: int64, record numbers, rising; none is in both.

    Returns:
        int64 [row], the record number, -1 where none shares a hash; float64 [row], the similarity (see `pairs`), 0 where none shares a hash and NaN where the
        record has no hash to share.
    """
    found, similarity = np.full(len(rows), -1), np.zeros(len(rows))
    for level in sketches.levels:
        for part, others in _comparable(level, rows, among):
            other, alike = _nearest(level, rows[part], others)
            nearer = (alike > similarity[part]) | ((alike == similarity[part]) & (other >= 0) & (other < found[part]))
            found[part[nearer]], similarity[part[nearer]] = other[nearer], alike[nearer]
    similarity[sketches.empty[rows]] = np.nan
    return found, similarity


def _comparable(sketches: Sketches, rows: np.ndarray, among: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which rows (places) are compared with which others: records of infinite size are not with each other."""
    infinite = np.isinf(sketches.sizes)
    if not infinite.any():
        return [(np.arange(len(rows)), among)]
    return [(np.flatnonzero(~infinite[rows]), among), (np.flatnonzero(infinite[rows]), among[~infinite[among]])]


def _nearest(sketches: Sketches, rows: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """On one level; equal sketches are looked at once."""
    if not (len(rows) and len(among)):
        return np.full(len(rows), -1), np.zeros(len(rows))
    members = collapse(sketches)[1]
    _, first_row, row_of = np.unique(members[rows], return_index=True, return_inverse=True)
    columns = among[np.sort(np.unique(members[among], return_index=True)[1])]
    best, similarity = PairCounter(sketches, rows[first_row], columns).best()
    return np.where(best >= 0, columns[best], -1)[row_of], similarity[row_of]
