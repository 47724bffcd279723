"""Classes that are not in every split, and why: a class that is not in test is never judged."""

import logging
from collections.abc import Sequence

import numpy as np

from genomix.data.splits import SPLITS, TRAIN

_log = logging.getLogger(__name__)

_NAMED = 5


def held_back_classes(
    sides: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, classes: Sequence[str], *, why: str = ""
) -> list[str]:
    """A sentence for every class that a split lacks.

    Args:
        sides: int [record], index into SPLITS.
        labels: int [record], index into `classes`.
        groups: int [record], which records had to stay together; None where a split column decided.
        why: what else than near-duplicates or names made them.
    """
    used = [side for side in range(len(SPLITS)) if (sides == side).any()]
    sentences = []
    for label, name in enumerate(classes):
        own = labels == label
        lacking = [SPLITS[side] for side in used if side != TRAIN and not (sides[own] == side).any()]
        if lacking:
            reason = "expected at least 1" if groups is None else _reason(int(own.sum()), len(np.unique(groups[own])), len(used), why)
            sentences.append(f"class {name!r} has no record in {' and '.join(lacking)}: {reason}")
    return sentences


def warn_of_classes(sentences: Sequence[str]) -> None:
    """Say the first few; all of them are in `dataset.json`."""
    for sentence in sentences[:_NAMED]:
        _log.warning("%s", sentence)
    if len(sentences) > _NAMED:
        _log.warning("... and %d more classes that a split lacks", len(sentences) - _NAMED)


def _reason(records: int, groups: int, splits: int, why: str) -> str:
    formed = f"its {records:,} record{'s' * (records != 1)} form {groups:,} group{'s' * (groups != 1)} that must stay together{why}"
    if groups < splits:
        return f"{formed}, expected at least {splits}, one a split"
    return f"{formed}, and other classes share them"
