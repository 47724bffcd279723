"""Where a record's label comes from. Every way ends in one stream of labelled records, in input order.

A file may carry the label of all its records (`NAME=file`, or a class folder); records of other files get theirs from a label table or a pattern on the
header; genome intervals carry their BED name. A description is read only by `--label-regex`.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from genomix.data.label_table import Columns, read_label_table
from genomix.data.label_text import tidy
from genomix.data.near_ids import NearIds
from genomix.data.source_files import SourceFile
from genomix.errors import DataError, UsageError
from genomix.formats import CLASS_HINT, interval_records, open_records
from genomix.formats.opening import display_name
from genomix.records import SequenceRecord

_log = logging.getLogger(__name__)

_NAMED_IN_ERRORS = 5
_SHOWN = 300
"""Letters of a header that an error shows."""
_BED_SUFFIXES = {".bed", ".narrowpeak", ".broadpeak"}
_MOST_CLASSES, _FEW_INTERVALS = 0.9, 10
"""More different names than this part of the intervals are names of single regions (`peak_1`), no classes; of fewer intervals that isn't known."""


class LabelSettings(BaseModel):
    """How records that don't come from a `NAME=file` pair or a class folder are labelled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str | None = None
    """A TSV with a row a record: its id, label, and optionally group and split."""
    id_column: str = "id"
    label_column: str = "label"
    group_column: str | None = None
    """None: `group`, where the table has it."""
    split_column: str | None = None
    """Read by the split method `column`; None: `split`."""
    allow_missing: bool = False
    """Go on where the table has ids that no record has."""
    regex: str | None = None
    """A pattern searched in the whole header; its group `label`, or its first group, is the label."""
    intervals: str | None = None
    """A BED file; its regions are the records, its name column their labels."""
    genome: str | None = None
    """The FASTA that `intervals` cuts from."""
    manifest: str | None = None
    """A data manifest: its path, or the name of a bundled one."""


class Label(NamedTuple):
    """What is known of a record beside its sequence; empty where unknown."""

    label: str = ""
    group: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class LabelledRecord:
    """A record with its label.

    Attributes:
        sequence_name: the whole sequence that it was cut from: the contig of an interval, else its own id.
        start: where an interval begins on its contig, from 0; -1 for other records.
    """

    record: SequenceRecord
    known: Label
    sequence_name: str
    start: int = -1


class Labeller(Protocol):
    """Gives the records of unlabelled files their label."""

    def label(self, record: SequenceRecord) -> Label:
        """Empty where there is none for this record."""
        ...

    def known_labels(self) -> Iterable[str]:
        """Labels that are known before a record is read; one may come several times."""
        ...

    def check(self) -> None:
        """Called after the last record. Raises DataError where something given was never used."""
        ...


def labelled_records(files: Sequence[SourceFile], labeller: Labeller, settings: LabelSettings) -> Iterator[LabelledRecord]:
    """Stream all records: those of the files, in order, then the intervals.

    Raises:
        DataError: a file is broken, or the label table names ids that no record has.
        InputMissing: no such file.
    """
    for file in files:
        of_all = None if file.label is None else Label(file.label)
        for record in open_records(file.path):
            known = labeller.label(record) if of_all is None else of_all
            yield LabelledRecord(record, known, record.id)
    if settings.intervals is not None and settings.genome is not None:
        yield from _labelled_intervals(settings.intervals, settings.genome)
    labeller.check()


def _labelled_intervals(bed: str, genome: str) -> Iterator[LabelledRecord]:
    names: Counter[str] = Counter()
    for record, interval in interval_records(bed, genome):
        name = "" if interval.name == "." else tidy(interval.name)  # BED's word for none
        names[name] += 1
        yield LabelledRecord(record, Label(name), interval.contig, interval.start)
    del names[""]
    if len(names) > _MOST_CLASSES * max(names.total(), _FEW_INTERVALS):
        message = f"{names.total():,} regions have {len(names):,} names in column 4, such as {next(iter(names))!r}: expected classes"
        raise DataError(message, where=display_name(bed), hint=CLASS_HINT)


def build_labeller(files: Sequence[SourceFile], settings: LabelSettings, *, read_split: bool) -> Labeller:
    """The labeller that the settings ask for.

    Args:
        read_split: whether the table must give each record's split.

    Raises:
        UsageError: the options contradict each other, or leave some files without labels.
        DataError: the table can't be used.
    """
    _refuse_contradictions(files, settings, read_split=read_split)
    if settings.table is not None:
        split = (settings.split_column or "split") if read_split else None
        columns = Columns(settings.id_column, settings.label_column, settings.group_column or "group", split, settings.group_column is None)
        return TableLabeller(settings.table, columns, allow_missing=settings.allow_missing)
    return RegexLabeller(settings.regex) if settings.regex is not None else NoLabeller()


def gives_labels(files: Sequence[SourceFile], settings: LabelSettings) -> bool:
    """Whether anything given says what the records' labels are."""
    return any(given is not None for given in (settings.table, settings.regex, settings.intervals, *(file.label for file in files)))


class NoLabeller:
    """For unlabelled data, and where every file carries its own label."""

    def label(self, record: SequenceRecord) -> Label:  # noqa: ARG002 - the contract's
        return Label()

    def known_labels(self) -> Iterable[str]:
        return ()

    def check(self) -> None:
        pass


class TableLabeller:
    """Labels by record id, in whatever file: contigs of one sample may all carry its id, but assemblies that number theirs alike are a mistake."""

    def __init__(self, path: str, columns: Columns, *, allow_missing: bool = False) -> None:
        self._path, self._allow_missing = path, allow_missing
        self._rows = read_label_table(path, columns)
        self._sources: dict[str, str] = {}  # id -> the file of its first record
        self._shared: dict[str, str] = {}  # id -> another file with a record of it
        self._near = NearIds(self._rows)

    def label(self, record: SequenceRecord) -> Label:
        row = self._rows.get(record.id)
        if row is None:
            self._near.add(record)
            return Label()
        if self._sources.setdefault(record.id, record.source) != record.source:
            self._shared.setdefault(record.id, record.source)
        return Label(row.label, row.group, row.split)

    def known_labels(self) -> Iterable[str]:
        return (row.label for row in self._rows.values())

    def check(self) -> None:
        self._check_unseen()
        if self._shared:
            example, other = next(iter(self._shared.items()))
            _log.warning(
                "%s: %s of %s ids are those of records in two files or more, such as %r in %s and %s: all got the row's label; if they are not "
                "of one sample, write another id in each file and in the table, or label whole files (NAME=file)",
                self._path,
                *(f"{len(each):,}" for each in (self._shared, self._rows)),
                example,
                *map(display_name, (self._sources[example], other)),
            )

    def _check_unseen(self) -> None:
        unseen = [name for name in self._rows if name not in self._sources]
        if not unseen:
            return
        examples = ", ".join(map(repr, unseen[:_NAMED_IN_ERRORS]))
        more = ", ..." if len(unseen) > _NAMED_IN_ERRORS else ""
        message = f"{len(unseen)} of {len(self._rows)} ids are in no sequence file: {examples}{more}"
        if not self._allow_missing:
            without = "" if len(unseen) == len(self._rows) else "; --allow-missing goes on without them"
            hint = self._near.hint() + without
            raise DataError(message, where=self._path, hint=hint)
        _log.warning("%s: %s", self._path, message)


class RegexLabeller:
    """Labels by a pattern on the header, id and description."""

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise UsageError(f"--label-regex {pattern!r} is not a regular expression: {error}") from error
        if not self._pattern.groups:
            raise UsageError(f"--label-regex {pattern!r} has no group", hint="put parentheses around the label: 'host=(\\w+)'")
        self._group: str | int = "label" if "label" in self._pattern.groupindex else 1
        self._first = ""
        self._searched = self._found = 0

    def label(self, record: SequenceRecord) -> Label:
        header = " ".join(filter(None, (record.id, record.description, record.notes)))
        match = self._pattern.search(header)
        known = Label(tidy(match[self._group] or "")) if match else Label()
        self._first = self._first or header
        self._searched += 1
        self._found += bool(known.label)
        return known

    def known_labels(self) -> Iterable[str]:
        return ()

    def check(self) -> None:
        if self._searched and not self._found:
            message = f"--label-regex {self._pattern.pattern!r} finds no label in any of {self._searched:,} headers"
            raise DataError(message, hint=f"what was searched, of the first: {self._first[:_SHOWN]!r}")


def _refuse_contradictions(files: Sequence[SourceFile], settings: LabelSettings, *, read_split: bool) -> None:
    if settings.table is not None and settings.regex is not None:
        raise UsageError("--labels and --label-regex both give labels", hint="keep one")
    beds = [file.path for file in files if _BED_SUFFIXES & {suffix.lower() for suffix in PurePath(file.path).suffixes}]
    if settings.genome is not None and settings.intervals is None and beds:
        raise UsageError(f"{beds[0]} is a BED file, which --intervals takes", hint=f"--intervals regions.bed; {CLASS_HINT}")
    if (settings.intervals is None) != (settings.genome is None):
        raise UsageError("--intervals and --genome go together", hint="--intervals regions.bed --genome genome.fa")
    if not files and settings.intervals is None:
        raise UsageError("no input", hint="name FASTA files, NAME=file.fa pairs, or a folder with one sub-folder a class")
    unlabelled = [file for file in files if file.label is None]
    by_record = "--labels" if settings.table is not None else "--label-regex" if settings.regex is not None else None
    if by_record and not unlabelled:
        raise UsageError(f"{by_record} has nothing to label: every file has a label of its own")
    if not by_record and unlabelled and gives_labels(files, settings):
        raise UsageError(f"{unlabelled[0].path} has no label, other inputs have", hint=f"NAME={unlabelled[0].path}, or --labels for it")
    _refuse_unread(settings, read_split=read_split)


def _refuse_unread(settings: LabelSettings, *, read_split: bool) -> None:
    """An option that would be ignored is a mistake."""
    if read_split and settings.table is None:
        raise UsageError("--split column needs a label table", hint="--labels labels.tsv, with a column named split")
    if settings.table is None:
        for option in ("id_column", "label_column", "group_column", "split_column", "allow_missing"):
            if getattr(settings, option) != LabelSettings.model_fields[option].default:
                raise UsageError(f"--{option.replace('_', '-')} says something about --labels, which is not given")
    elif settings.split_column is not None and not read_split:
        raise UsageError("--split-column is read only with --split column")
