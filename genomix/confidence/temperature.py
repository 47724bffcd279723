"""One temperature for all of a model's probabilities. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.

calibrated = softmax(log p / T), p being averaged over a record's windows and strands: that is what users read. T > 1 makes a network that is too sure less
so; the order of a record's classes never changes.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

LOWEST, HIGHEST = 0.1, 10.0
"""A temperature outside says that something else is wrong, and no probability would be worth reading."""

_SPREAD = 0.5
"""Standard deviation of log T before any record is seen: 19 of 20 temperatures between 0.37 and 2.7.

A small validation split without an error is fitted best by T = 0, that is by probabilities of 1. The prior costs at most a few nats in all, so a split
of a hundred records overrules it where there is something to overrule.
"""

_SMALLEST = 1e-300
"""A float64 probability may round to 0, whose logarithm is of no use."""


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, float64 [..., class], at another temperature; at 1 they are what they were, to the last bit."""
    return probabilities if temperature == 1 else softmax(_logarithms(probabilities) / temperature, axis=-1)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature of highest posterior density: the records' log likelihood, and a normal prior of log T around 0.

    Args:
        labels: int [record].
        probabilities: float64 [record, class], of records that the network was not trained on.
    """
    logarithms = _logarithms(probabilities)
    records = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        own = log_softmax(logarithms / np.exp(log_temperature), axis=1)[records, labels]
        return float(log_temperature**2 / (2 * _SPREAD**2) - own.sum())

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _logarithms(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, _SMALLEST, None))
