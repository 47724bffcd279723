"""Which records are left out, and why. Each one is a row of `rejected.tsv`; nothing is dropped in silence."""

import csv
import logging
from collections import Counter
from collections.abc import Container, Sequence
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, Field

from genomix.data.labels import Label
from genomix.records import OTHER

_log = logging.getLogger(__name__)

REJECTED_COLUMNS = ("id", "source", "ordinal", "reason", "detail")

Refusal = tuple[str, str]
"""Why a record is left out: a reason, one word, and the detail."""

_OTHER = bytes([OTHER])


class CleaningSettings(BaseModel):
    """Which records are left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_length: int = Field(default=20, ge=1)
    """Shortest record kept, in bases."""
    max_ambiguous: float = Field(default=0.5, ge=0, le=1)
    """Largest fraction of a record that is neither A, C, G nor T (U)."""
    conflicts: Literal["error", "drop"] = "error"
    """One sequence with two labels: stop, or leave all its records out."""
    min_class: int = Field(default=1, ge=1)
    """Leave out all records of a class that has fewer, once duplicates are gone."""


class RejectedTable:
    """Writes `rejected.tsv` as records are left out.

    Attributes:
        reasons: reason -> records left out.
        first: the first one and why, for a message.
    """

    def __init__(self, file: IO[str]) -> None:
        self._rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        self._rows.writerow(REJECTED_COLUMNS)
        self.reasons: Counter[str] = Counter()
        self.first = ""

    def add(self, identifier: str, where: tuple[str, int], refusal: Refusal) -> None:
        """One record: its id, its file and its place there, and why."""
        self._rows.writerow((identifier, *where, *refusal))
        self.reasons[refusal[0]] += 1
        self.first = self.first or f"{where[0]}, record {where[1]}: {refusal[1]}"


def small_classes(labels: Sequence[str], dropped: Container[int], least: int) -> dict[int, Refusal]:
    """Records of classes that have fewer than `least`: number -> why it is left out.

    Args:
        dropped: the records that don't count, as they are left out for another reason.
    """
    counts = Counter(label for number, label in enumerate(labels) if label and number not in dropped)
    small = {label: count for label, count in counts.items() if count < least}
    if small:
        _log.info(
            "classes of fewer than %s records left out: %s, with %s records", f"{least:,}", f"{len(small):,}", f"{sum(small.values()):,}"
        )
    return {
        number: ("small_class", f"class {label!r} has {small[label]}, at least {least} wanted")
        for number, label in enumerate(labels)
        if label in small and number not in dropped
    }


def unusable(codes: bytes, known: Label, settings: CleaningSettings, *, labelled: bool, needs_split: bool) -> Refusal | None:
    """Reason and detail why a record can't be used, looking at it alone; None where it can."""
    length = len(codes)
    if length == 0:
        return "empty", "no bases"
    if length < settings.min_length:
        return "too_short", f"{length} bases, at least {settings.min_length} wanted"
    others = codes.count(_OTHER) if _OTHER in codes else 0  # finding none is much faster than counting none
    if others > settings.max_ambiguous * length:
        return "too_ambiguous", f"{others} of {length} letters are not A, C, G or T, at most {settings.max_ambiguous:g} of them may be"
    if labelled and not known.label:
        return "no_label", "no label was given for it"
    if needs_split and not known.split:
        return "no_split", "its split is empty in the label table"
    return None
