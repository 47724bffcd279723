"""The lines of a GenBank or EMBL file, looked at between its records, where Biopython's scanner passes over whatever is no record's first line."""

from genomix.errors import DataError
from genomix.formats.sequence_file import SequenceFile, preview

_RECORD_END = "//"
_BYTE_ORDER_MARK = "\ufeff"


class FlatLines:
    """As much of a text as Biopython's scanner asks for.

    Args:
        file: read by nobody else.
        start: what a record's first line begins with.
        sequence: what the line begins with that the bases stand below.
        banner: what stands in the first of some lines that may come before a record.
    """

    def __init__(self, file: SequenceFile, *, start: str, sequence: str, banner: str | None) -> None:
        self._file = file
        self._read = file.text.readline
        self._number = file.first_line - 1
        self._start, self._sequence, self._banner = start, sequence, banner
        self._ordinal = 0
        self._inside = self._in_banner = False
        self.has_sequence = False
        """Whether the record has that line. What is below it may be nothing."""

    def begin(self, ordinal: int) -> None:
        """A record is to be read, or there is none any more."""
        self._ordinal = ordinal
        self._inside = self._in_banner = self.has_sequence = False

    def readline(self) -> str:
        """Raises DataError for a line between two records that isn't blank."""
        line = self._read()
        self._number += 1
        if not self._inside:
            return self._between(line)
        if line.startswith(self._sequence):
            self.has_sequence = True
        return line

    def _between(self, line: str) -> str:
        line = line.lstrip(_BYTE_ORDER_MARK)  # of a file that was put behind another
        if line.startswith(self._start):
            self._inside = True
        elif self._banner and self._banner in line:
            self._in_banner = True
        elif not self._in_banner and line.strip() not in ("", _RECORD_END):
            hint = "each record begins with that, in capitals and with nothing before it; a file holds records of one format"
            message = f"found {preview(line.rstrip())!r}, expected a record's first line: {self._start!r}"
            raise DataError(message, where=self._file.place(self._ordinal, line=self._number), hint=hint)
        return line
