"""What can be told of a record without its order: length and GC content, as features that a logistic regression can bend.

A linear model of the length sees "longer" and "shorter" only. Splines let it see a class that lies between two others, or one of an exact length.
"""

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import SplineTransformer

from genomix.data.frequencies import kmer_frequencies
from genomix.data.store import Dataset

_KNOTS = 6


class Splines(TransformerMixin, BaseEstimator):
    """Each column, and beside it its cubic B-splines with knots at quantiles of the training records; beyond the outermost knots they stay level.

    A column gets as many knots as it has different quantiles, so values that repeat (all records of one length) are no fault.
    """

    def fit(self, table: np.ndarray, _labels: np.ndarray | None = None) -> Self:
        self.splines_ = []
        for column in table.T:
            knots = np.unique(np.quantile(column, np.linspace(0, 1, _KNOTS)))
            spline = SplineTransformer(knots=knots[:, None], extrapolation="constant", include_bias=False) if len(knots) > 1 else None
            self.splines_.append(spline.fit(column[:, None]) if spline is not None else None)
        return self

    def transform(self, table: np.ndarray) -> np.ndarray:
        """Float [records, columns] -> float32 [records, columns and their splines]."""
        curves = [spline.transform(table[:, [number]]) for number, spline in enumerate(self.splines_) if spline is not None]
        return np.concatenate([table, *curves], axis=1).astype(np.float32)


def log_length(dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """The logarithm of each record's bases, float64 [records, 1]."""
    lengths = np.array([len(dataset.codes(int(index))) for index in indices], dtype=np.float64)
    return np.log(np.maximum(lengths, 1))[:, None]


def gc_content(dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """The part of each record's A, C, G and T that is G or C, float64 [records, 1]; 0 where it has none of them."""
    bases = kmer_frequencies(dataset, indices, 1, "forward").astype(np.float64)
    return bases[:, [1]] + bases[:, [2]]


def length_and_gc(dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """Both, float64 [records, 2]."""
    return np.concatenate([log_length(dataset, indices), gc_content(dataset, indices)], axis=1)
