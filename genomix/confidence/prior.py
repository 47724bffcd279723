"""Probabilities for another balance of the classes than that of training.

A classifier learns p(class | record) under the class balance that its loss saw. Where the records' densities within each class are the same and only the
balance differs, Bayes gives p'(class | record) ~ p(class | record) * wanted(class) / learned(class): Saerens, Latinne, Decaestecker, Adjusting the outputs of
a classifier to new a priori probabilities, Neural Computation 2002, equation 2.4.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genomix.data.label_text import listed, tidy
from genomix.errors import UsageError

_TOLERANCE = 1e-3
"""Three thirds written with three digits add up to less than 1 by this much."""

_HOW = "--prior A=0.9,B=0.1 with every class, or --prior FILE, a tab-separated table of class and prior"


def reweighted(probabilities: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Probabilities [..., class] times wanted over learned balance [class], normalised."""
    weighed = probabilities * ratio
    total = weighed.sum(axis=-1, keepdims=True)
    # All the weight may lie on classes of prior 0, whose probabilities have rounded the others to 0: then those are equally likely.
    return np.where(total > 0, weighed / np.where(total > 0, total, 1), (ratio > 0) / np.count_nonzero(ratio))


def read_prior(text: str, classes: Sequence[str]) -> np.ndarray:
    """The class balance that a user asks for, float64 [class], with sum 1.

    Args:
        text: `A=0.9,B=0.1`, or a file of two tab-separated columns, which class names with a comma need.

    Raises:
        UsageError: a class is unknown, missing or named twice, a value is no number from 0 on, or they don't add up to 1.
    """
    pairs, where = (_from_table(Path(text)), text) if _is_file(text) else (_from_words(text), None)
    found: dict[str, float] = {}
    for given, written in pairs:
        name = given if given in classes else tidy(given)
        if name not in classes:
            raise UsageError(
                f"--prior: the model has no class {name!r}", where=where, hint=f"its classes are {listed([*map(repr, classes)])}"
            )
        if name in found:
            raise UsageError(f"--prior: class {name!r} is named twice", where=where, hint=_HOW)
        found[name] = _number(name, written, where)
    missing = [name for name in classes if name not in found]
    if missing:
        raise UsageError(f"--prior: no value for class {listed([*map(repr, missing)])}", where=where, hint=_HOW)
    total = sum(found.values())
    if abs(total - 1) > _TOLERANCE:
        raise UsageError(f"--prior: the values add up to {total:g}, expected 1", where=where, hint=_HOW)
    return np.array([found[name] for name in classes]) / total


def prior_ratio(prior: np.ndarray, balance: Sequence[float], classes: Sequence[str]) -> np.ndarray:
    """Wanted over learned balance, float64 [class].

    Raises:
        UsageError: a class that training never saw is given a prior.
    """
    unseen = [name for name, wanted, learned in zip(classes, prior, balance, strict=True) if wanted > 0 and learned == 0]
    if unseen:
        raise UsageError(
            f"--prior: no training record is of class {listed([*map(repr, unseen)])}, so only a prior of 0 can be met",
            hint="give that class 0",
        )
    learned = np.array(balance)
    return np.divide(prior, learned, out=np.zeros(len(learned)), where=learned > 0)


def _from_words(text: str) -> list[tuple[str, str]]:
    pairs = [part.rpartition("=") for part in text.split(",")]
    bad = [value for name, equals, value in pairs if not equals or not name]
    if bad:
        raise UsageError(f"--prior: expected CLASS=NUMBER, found {bad[0]!r}, and no file has the name {text!r}", hint=_HOW)
    return [(name.strip(), value) for name, _, value in pairs]


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # too long for a name
        return False


def _from_table(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        name, tab, value = line.rpartition("\t")
        if number == 1 and tab and not _is_number(value):
            continue  # a header
        if line.strip() and not tab:
            raise UsageError(f"--prior: expected a class, a tab and a number, found {line!r}", where=f"{path}, line {number}", hint=_HOW)
        if tab:
            pairs.append((name, value))
    return pairs


def _number(name: str, written: str, where: str | None) -> float:
    if not _is_number(written) or not 0 <= float(written) < np.inf:
        raise UsageError(f"--prior: the value of class {name!r} is {written!r}, expected a number from 0 to 1", where=where, hint=_HOW)
    return float(written)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
