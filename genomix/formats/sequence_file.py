"""What the readers of the formats share: the open input, its headers and its letters.

A reader is a function `read(file: SequenceFile) -> Iterator[SequenceRecord]`; `genomix.formats` lists them.
"""

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from genomix.errors import DataError
from genomix.formats.opening import STDIN, display_name, open_bytes
from genomix.records import NUCLEOTIDE_LETTERS

UTF8_MARK = b"\xef\xbb\xbf"
_PREVIEW_LETTERS = 40
_PROTEIN_ONLY = frozenset("EFIJLOPQZefijlopqz*")


@dataclass(frozen=True)
class SequenceFile:
    """An input opened for reading.

    Attributes:
        path: as the user named it; `-` is standard input.
        stream: its decompressed bytes from its first line that is not blank.
        first_line: the number of that line.
        head: the bytes that `stream` begins with, some thousand of them; empty for a blank input.
    """

    path: str
    stream: "io.BufferedReader[Any]"
    first_line: int
    head: bytes

    @cached_property
    def text(self) -> TextIO:
        """`stream` as text, every kind of line end read as one. For readers that leave `stream` alone."""
        # Bytes that are not UTF-8 become surrogates here, and Latin-1 letters in `split_header`.
        return io.TextIOWrapper(self.stream, encoding="utf-8", errors="surrogateescape")

    @cached_property
    def can_reopen(self) -> bool:
        """Whether the input can be read a second time: not standard input, not a pipe."""
        return self.path != STDIN and Path(self.path).is_file()

    def place(self, ordinal: int, identifier: str = "", *, line: int | None = None) -> str:
        """The place to name in an error: `reads.fa, line 12, record 3 ('x')`."""
        at_line = "" if line is None else f", line {line}"
        named = f" ({identifier!r})" if identifier else ""
        return f"{display_name(self.path)}{at_line}, record {ordinal}{named}"


@contextmanager
def open_sequence_file(path: str) -> Iterator[SequenceFile]:
    """Open an input and step over a byte-order mark and leading blank lines. Raises what `open_bytes` raises."""
    with open_bytes(path) as stream:
        skipped = _skip_blank(stream)
        head = stream.peek(1)
        with closing(stream):
            yield SequenceFile(path, stream, first_line=skipped + 1, head=head)


def split_header(title: str, where: str) -> tuple[str, str]:
    """A header without its `>` or `@` -> (id, description). A header that starts with white space has no id.

    Raises:
        DataError: a NUL byte in it: the file is damaged, and no table could hold the id.
    """
    title = header_text(title, where)
    if not title or title[0].isspace():
        return "", title.strip()
    identifier, *rest = title.split(None, 1)
    return identifier, rest[0] if rest else ""


def header_text(text: str, where: str) -> str:
    """Text of a header, as tables and other files can hold it.

    Raises:
        DataError: a NUL byte in it: the file is damaged, and no table could hold the id.
    """
    if "\0" in text:
        raise DataError("found a NUL byte in a header", where=where, hint="the file is damaged; copy or download it again")
    return text if text.isascii() else printable(text)


class ForeignLetterError(Exception):
    """A letter that is no nucleotide code; `at` makes the error that a user sees."""

    def __init__(self, letter: str) -> None:
        super().__init__(letter)
        self.letter = letter

    def at(self, where: str) -> DataError:
        protein = "protein FASTA? " if self.letter in _PROTEIN_ONLY else ""
        message = f"found {self.letter!r}, expected an IUPAC nucleotide code"
        return DataError(message, where=where, hint=f"{protein}genomix reads nucleotides: ACGTU, NRYSWKMBDHV, X, and the gaps '-' and '.'")


def nucleotides(letters: str) -> bytes:
    """The letters as ASCII, white space removed. Raises ForeignLetterError."""
    try:
        sequence = letters.encode("ascii")
    except UnicodeEncodeError as error:
        raise ForeignLetterError(printable(letters[error.start])) from None
    foreign = sequence.translate(None, NUCLEOTIDE_LETTERS)
    if not foreign:
        return sequence
    if foreign.isspace():
        return b"".join(sequence.split())
    raise ForeignLetterError(foreign.split()[0][:1].decode("ascii"))


def _skip_blank(stream: io.BufferedReader) -> int:
    """Read past a byte-order mark and white space; how many lines that was."""
    if stream.peek(3).startswith(UTF8_MARK):
        stream.read(len(UTF8_MARK))
    lines = 0
    while ahead := stream.peek(1):
        blank = stream.read(len(ahead) - len(ahead.lstrip()))
        if not blank:
            break
        lines += blank.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
    return lines


def printable(text: str) -> str:
    """Text decoded with `surrogateescape`, as it can be written again: read as Latin-1 where its bytes were not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


def preview(line: str) -> str:
    """As much of a line as an error quotes."""
    return line if len(line) <= _PREVIEW_LETTERS else f"{line[:_PREVIEW_LETTERS]}..."
