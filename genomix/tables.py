"""Predictions as tables of text, of new records and of evaluated ones: one way to quote and to write numbers."""

import csv
import io
from collections.abc import Iterable
from typing import IO, Any

DELIMITERS = {"tsv": "\t", "csv": ","}


def table_writer(file: IO[str], form: str = "tsv") -> Any:
    """Writes rows; text with the delimiter, a quote or a line end in it is quoted, as spreadsheets and Python's csv module (`excel-tab`, `excel`) do."""
    return csv.writer(file, delimiter=DELIMITERS[form], lineterminator="\n")


def table_line(cells: Iterable[str], form: str = "tsv") -> str:
    """One row as text."""
    line = io.StringIO()
    table_writer(line, form).writerow(cells)
    return line.getvalue()


def number(value: float | None) -> str:
    """As it stands in a table; nothing where there is none."""
    return "" if value is None else f"{value:.6f}"
