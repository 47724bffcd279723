"""One temperature for all of a model's probabilities. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.

calibrated = softmax(log p / T), p being averaged over a record's windows and strands: that is what users read. T > 1 makes a network that is too sure less
so; the order of a record's classes never changes.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax, softmax

LOWEST, HIGHEST = 0.1, 10.0
"""A temperature outside says that something else is wrong, and no probability would be worth reading."""

_SPREAD = 0.5
"""Standard deviation of log T before any record is seen: 19 of 20 temperatures between 0.37 and 2.7.

A small validation split without an error is fitted best by T = 0, that is by probabilities of 1. The prior costs at most a few nats in all, so a split
of a hundred records overrules it where there is something to overrule.
"""

_TRIED = np.geomspace(LOWEST, HIGHEST, 41)
"""Temperatures at which checkpoints are compared: a row of values rather than a search, as it is read at every validation."""

_SMALLEST = 1e-300
"""A float64 probability may round to 0, whose logarithm is of no use."""


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, float64 [..., class], at another temperature; at 1 they are what they were, to the last bit."""
    return probabilities if temperature == 1 else softmax(_logarithms(probabilities) / temperature, axis=-1)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> float:
    """The temperature of highest posterior density: the records' log likelihood, and a normal prior of log T around 0.

    Unequal weights tell less than so many records would: together they count as (sum w)^2 / sum w^2 records (Kish, Survey Sampling, 1965).

    Args:
        labels: int [record].
        probabilities: float64 [record, class], of records that the network was not trained on.
        weights: float [record], how much each counts beside the others: those that make the class balance the one that the probabilities are for.
    """
    from scipy.optimize import minimize_scalar  # slow to load, and prediction fits nothing

    loss = _loss_at(labels, probabilities, weights)
    found = minimize_scalar(
        lambda log_temperature: loss(float(np.exp(log_temperature))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def calibrated_log_losses(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Each record's part of the log loss that calibration leaves, in nats, float64 [record]. Their sum is the lowest over a row of temperatures of the weighted
    mean, and of what the prior of `fit_temperature` says against that temperature, shared out over the records by their weights.

    A network that has learnt a small set by heart is too sure of itself, and its plain log loss then hides that it decides better than before. Without the prior any network is as good as
    one that says nothing, at a temperature that it would not get.

    Args:
        labels: int [record].
        probabilities: float64 [record, class].
        weights: float [record], how much each counts.
    """
    shares, worth = weights / weights.sum(), float(weights.sum() ** 2 / np.square(weights).sum())
    losses, loss = _losses_at(labels, probabilities), _loss_at(labels, probabilities, weights)
    found = min(_TRIED, key=loss)
    return shares * (losses(found) + _against(found) / worth)


def _loss_at(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> Callable[[float], float]:
    """Minus the logarithm of the posterior density of a temperature: of as many records as the weights are worth."""
    losses, counts = _losses_at(labels, probabilities), weights * (weights.sum() / np.square(weights).sum())
    return lambda temperature: float(_against(temperature) + losses(temperature) @ counts)


def _against(temperature: float) -> float:
    """What the prior says against it, in nats."""
    return float(np.log(temperature) ** 2 / (2 * _SPREAD**2))


def _losses_at(labels: np.ndarray, probabilities: np.ndarray) -> Callable[[float], np.ndarray]:
    """Each record's log loss at a temperature."""
    logarithms, records = _logarithms(probabilities), np.arange(len(labels))
    return lambda temperature: -log_softmax(logarithms / temperature, axis=1)[records, labels]


def _logarithms(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, _SMALLEST, None))
