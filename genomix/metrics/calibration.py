"""What calibration error chance alone makes: the error is a sum of distances, so it is above 0 for perfect probabilities too, the more the fewer the records."""

import numpy as np

from genomix.metrics.bootstrap import unit_of_record
from genomix.metrics.figures import CALIBRATION_BINS, calibration_bins

_DRAWS = 200


def error_by_chance(probabilities: np.ndarray, *, groups: np.ndarray | None = None, confidence: float, seed: int = 0) -> dict[str, float]:
    """The expected calibration error of records that are right exactly as often as their probabilities say: its `mean`, and the `high` that it stays
    below with this confidence.

    Args:
        probabilities: float64 [records, classes].
        groups: a name a record: records of one name are right or wrong together, as far as their probabilities allow.
    """
    top = probabilities.max(axis=1)
    bins, units = calibration_bins(top), unit_of_record(len(top), groups)
    random = np.random.default_rng(seed)
    errors = [_error((random.random(units.max() + 1)[units] < top) - top, bins) for _ in range(_DRAWS)]
    return {"mean": float(np.mean(errors)), "high": float(np.quantile(errors, confidence))}


def _error(excess: np.ndarray, bins: np.ndarray) -> float:
    return float(np.abs(np.bincount(bins, weights=excess, minlength=CALIBRATION_BINS)).sum() / len(excess))
