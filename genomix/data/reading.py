"""One pass over the input: bases to disk, all else into the table of records."""

import logging
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genomix.data.cleaning import CleaningSettings, Refusal, RejectedTable, small_classes, unusable
from genomix.data.label_text import listed, look_alikes, made_of_others, means_nothing
from genomix.data.labels import LabelledRecord
from genomix.data.record_table import RecordTable
from genomix.data.repeats import Repeats
from genomix.data.store import BASES_FILE, REJECTED_FILE, BasesWriter
from genomix.errors import DataError
from genomix.formats import GapWatch, IdWatch, TopologyWatch
from genomix.formats.watches import Watch

_log = logging.getLogger(__name__)

_NAMED = 5
"""Classes that a warning names, or sets of them that look the same."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pass leaves behind.

    Attributes:
        table: the records written to `bases.npy`.
        kept: bool [record of the table]; False where a later record contradicted it, or its class is too small.
        rejected: reason -> records left out.
    """

    table: RecordTable
    kept: np.ndarray
    rejected: dict[str, int]


def read_records(
    items: Iterable[LabelledRecord],
    folder: Path,
    cleaning: CleaningSettings,
    *,
    labelled: bool,
    both_strands: bool,
    needs_split: bool,
    circular: bool,
) -> Reading:
    """Read all records into a dataset folder.

    Args:
        labelled: whether a record without a label is left out.
        both_strands: whether a reverse complement is the same sequence.
        needs_split: leave out a record that has no split yet.
        circular: what all molecules are taken for, whatever their files say.

    Raises:
        DataError: the input is broken, records contradict each other, or none is left.
    """
    table, labels = RecordTable(), set[str]()
    topology = TopologyWatch(
        circular=circular, because=": is --circular right?" if circular else ": --circular takes all records as circular"
    )
    watches: list[Watch] = [GapWatch(), IdWatch(), topology]
    with ExitStack() as stack:
        bases = stack.enter_context(BasesWriter(stack.enter_context((folder / BASES_FILE).open("w+b"))))
        rejected = RejectedTable(
            stack.enter_context((folder / REJECTED_FILE).open("w", encoding="utf-8", errors="backslashreplace", newline=""))
        )
        repeats = Repeats(
            table, lambda number: bases.read(table.offsets[number], table.lengths[number]), cleaning, both_strands=both_strands
        )
        for item in items:
            labels.add(item.known.label)
            for watch in watches:
                watch.add(item.record)
            codes = item.record.codes
            refusal = unusable(codes, item.known, cleaning, labelled=labelled, needs_split=needs_split)
            refusal = refusal or repeats.check(item.record, item.known.label, codes)
            if refusal is not None:
                rejected.add(item.record.id, (item.record.source, item.record.ordinal), refusal)
                continue
            table.add(item, len(codes), bases.add(codes))
        dropped = repeats.dropped | small_classes(table.labels, repeats.dropped, cleaning.min_class)
        for number, refusal in dropped.items():
            rejected.add(table.ids[number], (table.sources[number], table.ordinals[number]), refusal)
        bases.finish()
    for watch in watches:
        watch.warn()
    return _checked(table, dropped, rejected, labels)


def _checked(table: RecordTable, dropped: dict[int, Refusal], rejected: RejectedTable, labels: set[str]) -> Reading:
    kept = np.ones(len(table), dtype=bool)
    kept[list(dropped)] = False
    if not kept.any():
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.reasons.items()))
        raise DataError(f"no record is left: {reasons}", hint=f"the first: {rejected.first}")
    left = Counter(table.labels[record] for record in np.flatnonzero(kept))
    if missing := {label: count for label, count in sorted(left.items()) if means_nothing(label)}:
        named = ", ".join(f"{label!r} ({count:,} record{'s' * (count != 1)})" for label, count in missing.items())
        _log.warning("read as names of classes: %s; where no label was meant leave the cell empty", named)
    for same in look_alikes(left)[:_NAMED]:
        _log.warning("classes %s look the same, and are told apart: were they meant to be one?", " and ".join(map(ascii, same)))
    if joined := made_of_others(left):
        named = listed([f"{label!r} ({left[label]:,} record{'s' * (left[label] != 1)})" for label in joined], _NAMED)
        _log.warning(
            "classes whose names are made of other classes' names: %s; were several labels meant? A record has one, and these are classes of their own",
            named,
        )
    small = {table.labels[number] for number, (reason, _) in dropped.items() if reason == "small_class"}
    for label in sorted(labels - left.keys() - small - {""}):
        _log.warning("no record of class %r is left: all were too short, ambiguous, repeated or in conflict", label)
    ids = [table.ids[record] for record in np.flatnonzero(kept) if table.ids[record]]
    if repeated := len(ids) - len(set(ids)):
        _log.warning("%d records have the id of an earlier one, but another sequence: all are kept", repeated)
    return Reading(table, kept, dict(rejected.reasons))
