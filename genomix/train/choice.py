"""Which of the networks that a run passes through is kept, by what the validation split says of them."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from genomix.train.history import NOTICEABLE
from genomix.train.state import Progress

SURE = 2.0
"""Standard errors: of many families one network in forty that is no better comes that far by chance (of ten one in twenty, of five one in thirteen, of two one in five), and each run has a dozen to choose from."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the averaged network makes of the held-out records.

    Args:
        figures: for the log of the run; `loss` decides.
        losses: float64 [record], of which `loss` is the sum; None where nothing is known before training that a network would have to beat.
        families: int64 [record]; records of one number are relatives, which err together.
    """

    figures: dict[str, float]
    losses: Tensor | None = None
    families: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a network, by the mean of its validation loss and the one before: with few records, one low loss among high ones is luck.

    Args:
        best: it is the one to keep so far.
        lower: that mean is noticeably the lowest yet.
        beyond_start: by how many standard errors it is below what training began with (see `errors_gained`); None where that knew nothing, or nothing can be said.
    """

    best: bool
    lower: bool
    beyond_start: float | None


def take(progress: Progress, reading: Reading) -> Verdict:
    """Note a reading, and judge its network.

    What training began with gives way only to a network that is surely better: it was fitted almost without a look at these records, and the best of many
    networks on a few dozen of them is better by luck.
    """
    loss = reading.figures["loss"]
    mean, losses = _with_last(progress, reading)
    lower, gain, beyond = progress.lowest - mean > NOTICEABLE, progress.best_mean - mean, _beyond_start(progress, reading, losses)
    replaces_start = progress.best_step == 0 and progress.last_loss is not None
    best = gain > NOTICEABLE and (beyond is None or beyond > SURE) if replaces_start else gain > 0
    if best:
        progress.best_loss, progress.best_mean, progress.best_step = loss, mean, progress.step
    if progress.step == 0:
        progress.start_losses = reading.losses
    progress.last_loss, progress.last_losses, progress.lowest = loss, reading.losses, min(progress.lowest, mean)
    return Verdict(best, lower, beyond)


def _with_last(progress: Progress, reading: Reading) -> tuple[float, Tensor | None]:
    """Loss and records' losses, each the mean of this reading and the one before."""
    loss, losses = reading.figures["loss"], reading.losses
    if progress.last_loss is None:
        return loss, losses
    mean = (progress.last_loss + loss) / 2
    return mean, None if losses is None or progress.last_losses is None else (progress.last_losses + losses) / 2


def _beyond_start(progress: Progress, reading: Reading, losses: Tensor | None) -> float | None:
    if progress.step == 0 or progress.start_losses is None or losses is None or reading.families is None:
        return None
    families = reading.families.numpy()
    return errors_gained((progress.start_losses - losses).numpy(), families) if len(np.unique(families)) > 1 else None


def errors_gained(gains: np.ndarray, families: np.ndarray) -> float:
    """The sum of the records' gains in its standard errors, a family's gains being drawn together; 0 where there is one family alone.

    Args:
        gains: float [record].
        families: [record], what tells them apart.
    """
    families = np.unique(families, return_inverse=True)[1]
    sums, sizes = np.bincount(families, gains), np.bincount(families)
    if len(sizes) < 2:
        return 0.0
    error = np.linalg.norm(sums - sizes * gains.mean())
    return float(gains.sum() / max(error, 1e-12))
