"""How far a record lies from the training records, as the network sees them.

The distance is Mahalanobis' from the nearest class mean, with one covariance within the classes (Lee, Lee, Lee, Shin, A simple unified framework for
detecting out-of-distribution samples and adversarial attacks, NeurIPS 2018), on features scaled to length 1 first (Mueller, Hein, Mahalanobis++, ICML 2025),
the covariance shrunk as Ledoit and Wolf (2004) do, because features may be more than records.

A distance says nothing to a reader; its rank among the validation records' does. With n of those, novelty = (how many are nearer) / (n + 1), so that a record
that is exchangeable with them has a novelty of 1 - a or more with probability a at most: it is 1 less the conformal p-value of Bates, Candes, Lei,
Romano, Sesia, Testing for outliers with conformal p-values, Annals of Statistics 2023.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MOST_FEATURES = 2048
"""The covariance takes the square of this; a network with a flatten head has a thousand times as many features and gets no novelty."""

_LEAST_SPREAD = 1e-3
"""A feature's standard deviation counts as at least this part of the typical one: one that never moved in training must not decide alone."""

_AT_ONCE = 1 << 21
"""Numbers of a table that is held at a time: 16 MiB."""


@dataclass(frozen=True)
class Novelty:
    """Where the training records are.

    Attributes:
        projection: float32 [feature, component]; scaled features times this have the unit covariance within a class.
        centers: float32 [class, component], of the classes that have training records.
    """

    projection: np.ndarray
    centers: np.ndarray

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Of each record from the nearest class, float64 [record].

        Args:
            features: float64 [record, feature].
        """
        projected = _scaled(features) @ self._projection
        step = max(1, _AT_ONCE // len(self._centers))
        return np.concatenate([self._nearest(projected[start : start + step]) for start in range(0, max(1, len(projected)), step)])

    @cached_property
    def _projection(self) -> np.ndarray:
        return self.projection.astype(np.float64)

    @cached_property
    def _centers(self) -> np.ndarray:
        return self.centers.astype(np.float64)

    @cached_property
    def _squares(self) -> np.ndarray:
        return np.square(self._centers).sum(1)

    def _nearest(self, projected: np.ndarray) -> np.ndarray:
        """Of a block of projected records.

        |a|^2 - 2ab + |b|^2, a matrix product, only says which classes may be the nearest: all those within its rounding of the lowest, which is at most that
        of a sum of so many products of such sizes (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). Distances near 0 would lose their
        digits by it, so of those few classes they are taken from the differences.
        """
        sizes = np.linalg.norm(projected, axis=1) + np.sqrt(self._squares.max())
        doubt = (self._centers.shape[1] + 4) * np.finfo(np.float64).eps * sizes**2
        table = (-2 * projected) @ self._centers.T
        table += self._squares
        records, classes = np.nonzero(table <= (table.min(1) + 2 * doubt)[:, None])
        nearest = np.full(len(projected), np.inf)
        step = max(1, _AT_ONCE // self._centers.shape[1])
        for part in (slice(start, start + step) for start in range(0, len(records), step)):
            apart = np.linalg.norm(projected[records[part]] - self._centers[classes[part]], axis=1)
            np.minimum.at(nearest, records[part], apart)
        return nearest

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as they are stored."""
        return {"projection": self.projection, "centers": self.centers}


def fit_novelty(labels: np.ndarray, features: np.ndarray) -> Novelty:
    """The training records' class means and covariance.

    Args:
        labels: int [record].
        features: float64 [record, feature].
    """
    from sklearn.covariance import ledoit_wolf  # a second that prediction does not need

    scaled = _scaled(features)
    kinds, places = np.unique(labels, return_inverse=True)
    means = np.stack([scaled[labels == kind].mean(0) for kind in kinds])
    within = scaled - means[places]
    spread = within.std(0)
    spread = np.maximum(spread, _LEAST_SPREAD * spread.mean()) if spread.any() else np.ones_like(spread)
    covariance, _ = ledoit_wolf(within / spread, assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, np.finfo(np.float64).eps * max(values.max(), 1.0))
    projection = (vectors / np.sqrt(values) / spread[:, None]).astype(np.float32)
    return Novelty(projection, (means @ projection.astype(np.float64)).astype(np.float32))


def ranks(distances: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """The novelty of each distance, float64 from 0 to below 1.

    Args:
        validation: the validation records' distances, ascending.
    """
    return np.searchsorted(validation, distances, side="left") / (len(validation) + 1)


def _scaled(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
