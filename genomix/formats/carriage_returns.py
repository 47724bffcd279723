"""Carriage returns in FASTA, all made line ends or blanks, by what each stands for.

With a line feed after it, one is half of a line end. Alone it ended lines on a Mac, long ago, and some files are put together from one of these and others, or
have had a line feed added at their end. Elsewhere it is a slip, such as a spreadsheet leaves in a header, and what follows is no sequence. Among bases it
is all the same. So only those in headers are told apart, by what comes up to the next line feed and after it, however the input is cut into pieces.
"""

from genomix.errors import DataError
from genomix.formats.opening import display_name
from genomix.formats.sequence_file import SequenceFile, preview

_LONGEST_SLIP = 1 << 16
"""No header goes on for so long after one."""


class CarriageReturns:
    """Replaces those of one file, piece by piece, in its order."""

    def __init__(self, file: SequenceFile) -> None:
        self._file = file
        self._end_lines = False
        """Whether one alone is known to end a line in this file."""

    def replaced(self, text: bytes, *, line_start: bool) -> bytes:
        """The text without them, and some of what follows it in the file where that is needed to tell.

        Args:
            text: a piece of the file that has one.
            line_start: whether it begins with a line. If not, the line is one of bases.

        Raises:
            DataError: it can't be told whether one ends a line.
        """
        text = self._whole_line_ends(text)
        if not self._end_lines and b"\r" in text:
            while _is_open(text, line_start=line_start) and (more := self._file.stream.read(_LONGEST_SLIP)):
                text = self._whole_line_ends(text + more)
            text = self._without_slips(text, line_start=line_start)
        return text.replace(b"\r", b"\n")

    def _whole_line_ends(self, text: bytes) -> bytes:
        """With what follows a carriage return at the end, as it may be half of a line end; and those that are whole made line feeds."""
        while text.endswith(b"\r") and (more := self._file.stream.read(1)):
            text += more
        return text.replace(b"\r\n", b"\n")

    def _without_slips(self, text: bytes, *, line_start: bool) -> bytes:
        """Blanks for those in headers that are slips, up to the first that is none: from there on they end lines."""
        lines = text.split(b"\n")
        for place, line in enumerate(lines):
            header = line.startswith(b">") and (place > 0 or line_start)
            if not _has_one(line) or not (header or b"\r>" in line):
                continue
            if b"\r>" in line or _is_long(line) or place + 1 == len(lines):
                self._end_lines = True
                break
            if not _has_sequence(lines, place + 1):
                raise self._unclear(line)
            lines[place] = line.replace(b"\r", b" ")
        return b"\n".join(lines)

    def _unclear(self, line: bytes) -> DataError:
        title = line.partition(b"\r")[0].decode("utf-8", "replace")
        message = f"found a carriage return after {preview(title)!r} and no line of sequence below, expected line ends of one kind"
        return DataError(message, where=display_name(self._file.path), hint="tr '\\r' '\\n' < OLD > NEW makes all of them ends of lines")


def _is_open(text: bytes, *, line_start: bool) -> bool:
    """Whether the last header has one, and the text ends too early to tell what it stands for."""
    start = text.rfind(b"\n>") + 1
    if start == 0 and not (line_start and text.startswith(b">")):
        return False
    header, _, rest = text[start:].partition(b"\n")
    return _has_one(header) and b"\r>" not in header and not _is_long(header) and not rest.strip()


def _has_one(line: bytes) -> bool:
    """One before the line's end, where it would be all the same."""
    return b"\r" in line.rstrip(b"\r")


def _is_long(header: bytes) -> bool:
    return len(header) - header.find(b"\r") > _LONGEST_SLIP


def _has_sequence(lines: list[bytes], place: int) -> bool:
    """Whether the next line that is not blank is one of bases."""
    following = next((lines[i] for i in range(place, len(lines)) if lines[i].strip()), b">")
    return not following.lstrip().startswith(b">")
