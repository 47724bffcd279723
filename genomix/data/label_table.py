"""The label table: a TSV (or CSV, with commas or `;`) that gives records of a FASTA their label and, optionally, group and split."""

import codecs
import csv
import difflib
import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from genomix.data.label_text import tidy
from genomix.data.splits import SPLITS, split_name
from genomix.errors import DataError
from genomix.formats.opening import open_bytes
from genomix.formats.sequence_file import printable

_log = logging.getLogger(__name__)

_SHOWN = 60
"""Letters of a line that an error shows."""
_DELIMITER_LINE = re.compile(r'("?)sep=([,;\t])\1\s*', re.IGNORECASE)
"""A first line that tells Excel what stands between fields."""


class TableRow(NamedTuple):
    label: str
    group: str
    split: str
    line: int


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns to read. None: not read; an optional one is read where the table has it."""

    id: str = "id"
    label: str = "label"
    group: str | None = None
    split: str | None = None
    optional_group: bool = False


def read_label_table(path: str, columns: Columns) -> dict[str, TableRow]:
    """id -> its row. Text is taken as it stands: `NA` is a label like any other, an empty cell is none.

    Raises:
        InputMissing: no such file.
        DataError: not a table, a column or a field is missing, a field that is read holds a line end, a split of another name, one id with two labels.
    """
    rows: dict[str, TableRow] = {}
    for identifier, row in _rows(path, columns):
        known = rows.setdefault(identifier, row)
        if known[:3] != row[:3]:
            raise _contradiction(path, identifier, known, row)
    if not rows:
        raise DataError("the label table has no rows", where=path)
    return rows


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a row is read: the column names, the line after theirs, what stands between fields, and the places of id, label, group and split."""

    header: list[str]
    first_row: int
    delimiter: str
    places: list[int | None]


def _rows(path: str, columns: Columns) -> Iterator[tuple[str, TableRow]]:
    with open_bytes(path) as stream, io.TextIOWrapper(stream, **_encoding(stream), newline="") as text:
        line = 1
        try:
            first = text.readline()
            told = _DELIMITER_LINE.fullmatch(first)
            above = 1 if told else 0
            first = text.readline() if told else first
            delimiter = told[2] if told else _delimiter(path, first)
            reader = csv.reader(chain([first], text), delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _require_utf8(header, f"{path}, line {1 + above}")
            line = reader.line_num + above
            layout = _Layout(header, line + 1, delimiter, _find_columns(path, header, columns))
            for fields in reader:
                begun, line = line + 1, reader.line_num + above
                if line > begun:
                    _require_one_line(f"{path}, line {begun}", fields, layout)
                if "".join(fields).strip():
                    yield _parse(f"{path}, line {begun}", begun, fields, layout)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"not a readable table: {error}", where=f"{path}, after line {line}", hint=_reading_hint(error)) from error


def _encoding(stream: "io.BufferedReader[Any]") -> dict[str, Any]:
    """How a table is decoded: UTF-16 where its mark says so, as in Excel's "Unicode Text", else UTF-8. What is not UTF-8 is found with its line (`_require_utf8`)."""
    if stream.peek(2)[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        return {"encoding": "utf-16"}
    return {"encoding": "utf-8-sig", "errors": "surrogateescape"}


def _require_utf8(fields: list[str], where: str) -> None:
    for field in fields:
        if not field.isascii() and printable(field) != field:
            raise DataError(f"{printable(field)!r} is not UTF-8", where=where, hint="save the table as UTF-8")


def _parse(where: str, line: int, fields: list[str], layout: _Layout) -> tuple[str, TableRow]:
    _require_utf8(fields, where)
    _require_fields(where, fields, layout, first=line == layout.first_row)
    identifier, label, group, split = ("" if place is None else fields[place].strip() for place in layout.places)
    if not identifier or "\0" in identifier + label + group:
        raise DataError("the id is empty" if not identifier else "found a NUL byte", where=where)
    name = split_name(split) if split else ""
    if name is None:
        raise DataError(f"found split {split!r}, expected {', '.join(SPLITS)} (or val, valid, dev)", where=where)
    return identifier, TableRow(tidy(label), tidy(group), name, line)


def _require_one_line(where: str, fields: list[str], layout: _Layout) -> None:
    """Between a stray quote and the next one all rows are text of one field. A field that nobody reads, such as a note, may have lines."""
    for name, place in zip(("id", "label", "group", "split"), layout.places, strict=True):
        field = "" if place is None else "".join(fields[place : place + 1]).strip()
        if "\n" in field or "\r" in field:
            shown = f"{field[:_SHOWN]!r}{'...' if len(field) > _SHOWN else ''}"
            raise DataError(f"found {name} {shown}, expected no line end in it", where=where, hint='a " that is not closed?')


def _require_fields(where: str, fields: list[str], layout: _Layout, *, first: bool) -> None:
    """As many fields as there are columns; empty ones beyond the last column do no harm, and those that nobody reads may be left out."""
    expected, needed = len(layout.header), max(place for place in layout.places if place is not None)
    hint = None
    if layout.delimiter == ";" and len(fields) != expected:  # exactly: ranks without quotes would be read as fields
        hint = "a field that holds a ; needs quotes around it, as a label with ranks does; or separate the fields by tabs"
    elif len(fields) <= needed:
        hint = "are the fields separated by tabs?"
    elif any(field.strip() for field in fields[expected:]):
        hint = f"a field that holds a {'comma' if layout.delimiter == ',' else 'tab'} needs quotes around it"
        if first and len(fields) == expected + 1:
            names = "row names without a header? R: write.table(..., row.names=FALSE)"
            hint = f"{hint}; or {names}" if layout.delimiter == "," else names  # a stray comma is as likely, a stray tab is not
    if hint is not None:
        raise DataError(f"found {len(fields)} fields, expected {expected}", where=where, hint=hint)


def _find_columns(path: str, header: list[str], columns: Columns) -> list[int | None]:
    """Places of id, label, group and split in the header."""
    group = None if columns.optional_group and columns.group not in header else columns.group
    if columns.split is None and "split" in header:
        _log.info("%s has a column 'split' that is not used; --split column uses it", path)
    wanted = (("--id-column", columns.id), ("--label-column", columns.label), ("--group-column", group), ("--split-column", columns.split))
    return [None if name is None else _find_column(path, header, name.strip(), option) for option, name in wanted]


def _find_column(path: str, header: list[str], name: str, option: str) -> int:
    if header.count(name) > 1:
        raise DataError(
            f"{header.count(name)} columns are called {name!r}", where=path, hint=f"rename all but one, or name another with {option}"
        )
    if name in header:
        return header.index(name)
    near = difflib.get_close_matches(name.lower(), [column.lower() for column in header], n=1)
    nearest = next((column for column in header if near and column.lower() == near[0]), None)
    found = ", ".join(map(repr, header)) or "nothing"
    hint = f"{option} {nearest!r}?" if nearest is not None else f"{option} names the column; the first line must hold the column names"
    raise DataError(f"no column {name!r}; the columns are {found}", where=path, hint=hint)


def _delimiter(path: str, header: str) -> str:
    """What stands between fields: a tab; a comma where the first line has no tab; `;` where it has neither, as in tables of Excel where decimals have commas.

    Raises:
        DataError: none of them, but blanks: those stand inside labels too.
    """
    found = next((each for each in "\t,;" if each in header), None)
    if found is None and len(header.split()) > 1:
        shown = header.strip()[:_SHOWN]
        raise DataError(
            f"found {shown!r}, expected column names separated by tabs",
            where=f"{path}, line 1",
            hint=r'separated by blanks? R: write.table(..., sep="\t", row.names=FALSE)',
        )
    return found or "\t"


def _contradiction(path: str, identifier: str, known: TableRow, row: TableRow) -> DataError:
    for name in ("label", "group", "split"):
        first, second = getattr(known, name), getattr(row, name)
        if first != second:
            break
    message = f"id {identifier!r} has {name} {second!r} here and {first!r} in line {known.line}"
    return DataError(message, where=f"{path}, line {row.line}", hint=f"rows of one id must have one {name}")


def _reading_hint(error: Exception) -> str:
    return "save the table as UTF-8" if isinstance(error, UnicodeDecodeError) else 'a field that starts with " must end with one'
