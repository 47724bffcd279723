"""The label table: a TSV (or CSV) that gives records of a FASTA their label and, optionally, group and split."""

import csv
import difflib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from genomix.data.label_text import tidy
from genomix.data.splits import SPLITS, split_name
from genomix.errors import DataError
from genomix.formats.opening import open_bytes

_log = logging.getLogger(__name__)


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
        DataError: not a table, a column or a field is missing, a split of another name, one id with two labels.
    """
    rows: dict[str, TableRow] = {}
    for identifier, row in _rows(path, columns):
        known = rows.setdefault(identifier, row)
        if known[:3] != row[:3]:
            raise _contradiction(path, identifier, known, row)
    if not rows:
        raise DataError("the label table has no rows", where=path)
    return rows


def _rows(path: str, columns: Columns) -> Iterator[tuple[str, TableRow]]:
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        line = 1
        try:
            first = text.readline()
            reader = csv.reader(chain([first], text), delimiter=_delimiter(first), strict=True)
            header = next(reader, [])
            places = _find_columns(path, header, columns)
            for fields in reader:
                line = reader.line_num
                if fields:
                    yield _parse(path, line, fields, header, places)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"not a readable table: {error}", where=f"{path}, after line {line}", hint=_reading_hint(error)) from error


def _parse(path: str, line: int, fields: list[str], header: list[str], places: list[int | None]) -> tuple[str, TableRow]:
    where = f"{path}, line {line}"
    needed = max(place for place in places if place is not None)
    if len(fields) <= needed:
        raise DataError(f"found {len(fields)} fields, expected {len(header)}", where=where, hint="are the fields separated by tabs?")
    if any(field.strip() for field in fields[len(header) :]):
        hint = "a field that holds a comma (in a TSV, a tab) needs quotes around it"
        raise DataError(f"found {len(fields)} fields, expected {len(header)}", where=where, hint=hint)
    identifier, label, group, split = ("" if place is None else fields[place] for place in places)
    if not identifier.strip() or "\0" in identifier + label + group:
        raise DataError("the id is empty" if not identifier.strip() else "found a NUL byte", where=where)
    name = split_name(split) if split.strip() else ""
    if name is None:
        raise DataError(f"found split {split!r}, expected {', '.join(SPLITS)} (or val, valid, dev)", where=where)
    return identifier.strip(), TableRow(tidy(label), tidy(group), name, line)


def _find_columns(path: str, header: list[str], columns: Columns) -> list[int | None]:
    """Places of id, label, group and split in the header."""
    group = None if columns.optional_group and columns.group not in header else columns.group
    if columns.split is None and "split" in header:
        _log.info("%s has a column 'split' that is not used; --split column uses it", path)
    wanted = (("--id-column", columns.id), ("--label-column", columns.label), ("--group-column", group), ("--split-column", columns.split))
    return [None if name is None else _find_column(path, header, name, option) for option, name in wanted]


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


def _delimiter(header: str) -> str:
    """A tab, or a comma where the first line has commas and no tab."""
    return "," if "," in header and "\t" not in header else "\t"


def _contradiction(path: str, identifier: str, known: TableRow, row: TableRow) -> DataError:
    for name in ("label", "group", "split"):
        first, second = getattr(known, name), getattr(row, name)
        if first != second:
            break
    message = f"id {identifier!r} has {name} {second!r} here and {first!r} in line {known.line}"
    return DataError(message, where=f"{path}, line {row.line}", hint=f"rows of one id must have one {name}")


def _reading_hint(error: Exception) -> str:
    return "save the table as UTF-8" if isinstance(error, UnicodeDecodeError) else 'a field that starts with " must end with one'
