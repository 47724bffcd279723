"""Which records train, which choose the model (validation), which judge it (test).

A method first says which records must stay together (their group), then groups are dealt out to the splits so that every class comes near the wished
fractions in each. Groups are never separated, and one seed always gives one split.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator
from scipy.sparse import coo_array

from genomix.data.label_text import listed
from genomix.errors import DataError

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
UNSPLIT = -1

_NAMED = 10
"""Classes that an error names."""

_SMALLER = {
    "cluster": "a higher --similarity makes smaller clusters",
    "group": "give more groups, or smaller ones",
    "sequence": "give more source sequences; --split cluster keeps near-duplicates together only",
    "stratified": "give more records",
}
"""How to get more of what stays together."""

_ALIASES = {
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "development": "validation",
    "training": "train",
    "testing": "test",
}

SplitMethod = Literal["cluster", "stratified", "group", "sequence", "column"]

_WORDS = {
    "cluster": "by near-duplicate cluster: records of one cluster stay on one side",
    "stratified": "at random within each class",
    "group": "by group: records of one group stay on one side",
    "sequence": "by source sequence: whole sequences are held out",
    "column": "as the label table gives it",
    "none": "none was made",
}
"""How a dataset was split, for its reader."""
_UNDRAWN = {"column", "none"}


class SplitSettings(BaseModel):
    """How records are dealt out to train, validation and test."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: SplitMethod | None = None
    """None is `cluster`, unless a manifest or a named split column says otherwise. What stays together: near-duplicates (`cluster`), nothing (`stratified`), the records of one group (`group`) or of one source sequence
    (`sequence`); `column` takes the split from the label table."""
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Of the records, for train, validation and test; test may be 0."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Draws which group goes where."""
    similarity: float = Field(default=0.95, ge=0.8, le=1)
    """Two records at least this similar are in one near-duplicate cluster."""

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, fractions: tuple[float, float, float]) -> tuple[float, float, float]:
        if not _are_parts(fractions):
            meant = [round(each / sum(fractions), 4) for each in fractions] if 1 < sum(fractions) < math.inf else fractions
            guess = f": {' '.join(map(str, meant))}?" if _are_parts(meant) else ""  # 80 10 10
            raise ValueError(f"train and validation must be above 0, test 0 or above, and the three must sum to 1{guess}")
        return fractions


def _are_parts(fractions: Sequence[float]) -> bool:
    return min(fractions) >= 0 and min(fractions[:2]) > 0 and abs(sum(fractions) - 1) <= 1e-6  # NaN is never that


def split_words(method: str, seed: int) -> str:
    """How a dataset was split, for its reader, with the seed where one was drawn with."""
    words = _WORDS.get(method, method)
    return words if method in _UNDRAWN else f"{words} (seed {seed})"


def split_name(text: str) -> str | None:
    """`train`, `validation` or `test` as a split column may call it; None for anything else."""
    name = text.strip().lower()
    name = _ALIASES.get(name, name)
    return name if name in SPLITS else None


def deal(
    labels: np.ndarray, groups: np.ndarray, classes: Sequence[str], settings: SplitSettings, *, smaller: str | None = None
) -> np.ndarray:
    """Deal groups out to the splits.

    Every class is in train; one with as many groups as there are splits is in all of them, as far as groups of several classes allow. A class with fewer
    groups goes to train whole.

    Args:
        labels: int [record], index into `classes`.
        groups: int [record], numbers from 0; records of one number stay together.
        smaller: how to get smaller groups, for an error; None is as the method has it.

    Returns:
        int8 [record], index into SPLITS.

    Raises:
        DataError: a class has fewer records than there are splits, or a split would be empty.
    """
    wanted = _wanted(settings)
    _require_records(labels, classes, len(wanted))
    sides = _dealt(labels, groups, settings)
    _require_all(sides, wanted, len(np.unique(groups)), smaller or _SMALLER.get(settings.method or "", _SMALLER["cluster"]))
    return sides


def _wanted(settings: SplitSettings) -> list[int]:
    return [split for split in (TRAIN, TEST, VALIDATION) if settings.fractions[split] > 0]


def _dealt(labels: np.ndarray, groups: np.ndarray, settings: SplitSettings) -> np.ndarray:
    """int8 [record], index into SPLITS; a split may be left empty."""
    wanted = _wanted(settings)
    dealer = _Dealer(labels, groups, np.array(settings.fractions), np.random.default_rng(settings.seed))
    scarce = np.flatnonzero(dealer.breadth < len(wanted))
    dealer.keep_in_train(scarce)
    for split in wanted:
        dealer.reserve(split)
    dealer.deal_large(wanted)
    dealer.deal_single()
    return dealer.place[groups]


def carve_validation(sides: np.ndarray, labels: np.ndarray, groups: np.ndarray, settings: SplitSettings) -> np.ndarray:
    """Move a part of train to validation, where a split column names none. A class of one training record, or one group, stays whole.

    Args:
        sides: int8 [record], index into SPLITS; the result is alike.
        groups: int [record]; records of one number stay together.

    Raises:
        DataError: no class has training records to part with.
    """
    train = np.flatnonzero(sides == TRAIN)
    share = settings.fractions[VALIDATION] / (settings.fractions[TRAIN] + settings.fractions[VALIDATION])
    part = settings.model_copy(update={"fractions": (1 - share, share, 0.0)})
    carved = sides.copy()
    carved[train] = _dealt(labels[train], np.unique(groups[train], return_inverse=True)[1], part)
    if not (carved == VALIDATION).any():
        message = f"no record is left for validation: none of the classes has two of the {len(train)} training records that may be parted"
        raise DataError(message, hint="name validation records in the split column")
    return carved


class _Dealer:
    """Groups on their way to the splits.

    Attributes:
        place: int8 [group], where each was put, or UNSPLIT.
        breadth: int [class], in how many groups it is.
    """

    def __init__(self, labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, rng: np.random.Generator) -> None:
        shape = (int(groups.max()) + 1, int(labels.max()) + 1)
        counts = coo_array((np.ones(len(labels), dtype=np.int64), (groups, labels)), shape=shape)
        self.by_group, self.by_class = counts.tocsr(), counts.tocsc()
        self.size = self.by_group.sum(axis=1)
        self.breadth = np.diff(self.by_class.indptr)
        self.total = np.bincount(labels, minlength=shape[1])
        self.missing = fractions[:, None] * self.total
        self.present = np.zeros(self.missing.shape, dtype=bool)
        self.place = np.full(shape[0], UNSPLIT, dtype=np.int8)
        self.luck = rng.permutation(shape[0])

    def keep_in_train(self, classes: np.ndarray) -> None:
        """Put every group with one of these classes in train."""
        for label in classes:
            for group in self._open_groups(label)[0]:
                self._put(group, TRAIN)

    def reserve(self, split: int) -> None:
        """Put a group of every class in a split that lacks it, the class of fewest groups first: the one nearest in size to what the split should get."""
        for label in np.argsort(self.breadth, kind="stable"):
            groups, records = self._open_groups(label)
            if len(groups) and not self.present[split, label]:
                misfit = np.abs(records - self.missing[split, label])
                self._put(groups[np.lexsort((self.luck[groups], misfit))[0]], split)

    def deal_large(self, wanted: Sequence[int]) -> None:
        """Put each group of several records where its classes are missing most, the largest first."""
        large = np.flatnonzero((self.place == UNSPLIT) & (self.size > 1))
        for group in large[np.lexsort((self.luck[large], -self.size[large]))]:
            labels, records = self._content(group)
            need = (self.missing[:, labels] / self.total[labels] * records).sum(axis=1)
            self._put(group, max(wanted, key=lambda split: need[split]))

    def deal_single(self) -> None:
        """Fill the splits up with the groups of one record, class by class, by lot.

        What a class can't give a split for want of half records the next ones do: else many small classes, all rounded alike, would skew the whole.
        """
        owed = np.zeros(len(SPLITS))
        for label in range(len(self.total)):
            groups, _ = self._open_groups(label)
            if len(groups):
                need = np.maximum(self.missing[:, label], 0)
                counts, owed = _whole(need / need.sum() * len(groups), owed)
                self.place[groups[np.argsort(self.luck[groups])]] = np.repeat(np.arange(len(SPLITS)), counts)

    def _content(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(self.by_group.indptr[group], self.by_group.indptr[group + 1])
        return self.by_group.indices[part], self.by_group.data[part]

    def _open_groups(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Groups of a class that are not put yet, and how many records of it each has."""
        part = slice(self.by_class.indptr[label], self.by_class.indptr[label + 1])
        groups, records = self.by_class.indices[part], self.by_class.data[part]
        is_open = self.place[groups] == UNSPLIT
        return groups[is_open], records[is_open]

    def _put(self, group: int, split: int) -> None:
        labels, records = self._content(group)
        self.place[group] = split
        self.missing[split, labels] -= records
        self.present[split, labels] = True


def _whole(shares: np.ndarray, owed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [split]: shares rounded up or down so that their sum stays, up where most is owed; and what is owed then."""
    shares = shares.round(9)  # 6 records may be 5.999...
    counts = np.floor(shares).astype(np.int64)
    due = np.where(shares > counts, shares - counts + owed, -np.inf).round(9)
    first = np.lexsort((-np.arange(len(SPLITS)), -due))  # test before validation, where as much is owed to both
    counts[first[: round(shares.sum()) - counts.sum()]] += 1
    return counts, owed + shares - counts


def _require_records(labels: np.ndarray, classes: Sequence[str], splits: int) -> None:
    small = [(classes[label], count) for label, count in enumerate(np.bincount(labels).tolist()) if 0 < count < splits]
    if not small:
        return
    (name, count), *others = small
    expected = f"expected at least {splits}: one a split"
    if not others:
        raise DataError(
            f"class {name!r} has {count} record{'s' * (count > 1)}, {expected}",
            hint=f"give more records of it (identical ones count once), or {_leave_out('it', splits)}",
        )
    named = listed([f"{name!r} ({count})" for name, count in small], _NAMED)
    raise DataError(
        f"{len(small):,} of {len(np.unique(labels)):,} classes have too few records, {expected}: {named}",
        hint=f"give more records of each, join classes, or {_leave_out('them', splits)}",
    )


def _leave_out(what: str, least: int) -> str:
    return f"leave {what} out with --min-class {least}"


def _require_all(sides: np.ndarray, wanted: Sequence[int], groups: int, smaller: str) -> None:
    for split in wanted:
        if not (sides == split).any():
            raise DataError(
                f"no record is left for {SPLITS[split]}: the {len(sides)} records form {groups} group{'s' * (groups > 1)} that must stay together",
                hint=f"{smaller}; --split stratified keeps nothing together, and its scores flatter",
            )
