"""FASTA, the format to be fast in: read in blocks, and a block's letters looked at all at once.

What lies in a block is found and coded by a thread while the records of the block before are on their way (`_Block`); here they are put together. A record
with a letter that is no nucleotide code is read again slowly, as Biopython's `SimpleFastaParser` reads it: it has the last word on odd white space.
"""

from collections.abc import Iterator
from contextlib import closing
from io import BufferedReader
from typing import NamedTuple

import numpy as np

from genomix.ahead import ahead
from genomix.formats.letters import FOREIGN, SPACE, letter_codes, without_line_ends
from genomix.formats.sequence_file import ForeignLetterError, SequenceFile, nucleotides, open_sequence_file, split_header
from genomix.records import SequenceRecord, encode_bases

_BLOCK_BYTES = 1 << 19
_BLOCKS_AHEAD = 4
_LINE_END = ord("\n")


def recognises(head: bytes) -> bool:
    return head.startswith(b">")


def read(file: SequenceFile) -> Iterator[SequenceRecord]:
    """Raises DataError for a letter that is no nucleotide code, naming its line where the file can be read again."""
    blocks = (_look_at(text, line_start=line_start) for text, line_start in _texts(file.stream))
    if file.can_reopen:  # a pipe may keep a thread waiting for ever
        blocks = ahead(blocks, most=_BLOCKS_AHEAD)
    records = _Records(file)
    with closing(blocks):
        for block in blocks:
            yield from records.add(block)
        yield records.finish()


class _Block(NamedTuple):
    """A piece of a FASTA file.

    Attributes:
        text: its bytes.
        headers: spans of its header lines, `>` included, the line end not.
        letters, codes: uint8, what stands between these, without line ends, and their codes.
        bounds: the letters before the first header, before the second, ..., and in all.
        highest: the highest code.
    """

    text: bytes
    headers: list[tuple[int, int]]
    letters: np.ndarray
    codes: np.ndarray
    bounds: list[int]
    highest: int


def _texts(stream: BufferedReader) -> Iterator[tuple[bytes, bool]]:
    """The input in pieces, all line ends `\\n`, header lines whole; and whether each begins with a line."""
    line_start, carried = True, b""
    while text := stream.read1(_BLOCK_BYTES):
        text = carried + _with_plain_line_ends(text, stream) if carried else _with_plain_line_ends(text, stream)
        place = text.rfind(b"\n") + 1
        partial_header = text.startswith(b">", place) and (place > 0 or line_start)
        text, carried = (text[:place], text[place:]) if partial_header else (text, b"")
        if text:
            yield text, line_start
            line_start = text[-1] == _LINE_END
    if carried:
        yield carried, True


def _with_plain_line_ends(text: bytes, stream: BufferedReader) -> bytes:
    if b"\r" not in text:
        return text
    while text.endswith(b"\r") and (more := stream.read(1)):
        text += more
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _look_at(text: bytes, *, line_start: bool) -> _Block:
    headers = list(_headers(text, line_start=line_start))
    letters, bounds = without_line_ends(text, headers)
    codes = letter_codes(letters)
    return _Block(text, headers, letters, codes, [*bounds, len(letters)], int(codes.max(initial=0)))


def _headers(text: bytes, *, line_start: bool) -> Iterator[tuple[int, int]]:
    place = text.find(b">")
    while place >= 0:
        stop = place + 1
        if text[place - 1] == _LINE_END if place else line_start:
            end = text.find(b"\n", stop)
            stop = end if end >= 0 else len(text)
            yield place, stop
        place = text.find(b">", stop)


class _Records:
    """Puts records together from blocks."""

    def __init__(self, file: SequenceFile) -> None:
        self._file = file
        self._ordinal = 0
        self._header = b""
        self._letters: list[bytes] = []
        self._codes: list[bytes] = []
        self._odd: list[bytes] = []
        """The record's text from the block on in which a foreign letter stands."""

    def add(self, block: _Block) -> Iterator[SequenceRecord]:
        """The records that end in a block."""
        place = first = 0
        for (start, stop), last in zip(block.headers, block.bounds, strict=False):
            if self._ordinal:
                self._extend(block, (place, start), (first, last))
                yield self.finish()
            self._ordinal += 1
            self._header, place, first = block.text[start + 1 : stop], stop, last
        self._extend(block, (place, len(block.text)), (first, block.bounds[-1]))

    def _extend(self, block: _Block, span: tuple[int, int], part: tuple[int, int]) -> None:
        """More of the record, by its span in the text and by its letters."""
        letters, codes = block.letters[part[0] : part[1]], block.codes[part[0] : part[1]]
        if block.highest >= SPACE or self._odd:
            if self._odd or codes.max(initial=0) == FOREIGN:
                self._odd.append(block.text[span[0] : span[1]])
                return
            bases = codes != SPACE
            letters, codes = letters[bases], codes[bases]
        self._letters.append(letters.tobytes())
        self._codes.append(codes.tobytes())

    def finish(self) -> SequenceRecord:
        """The record that all was for since its header."""
        file, ordinal = self._file, self._ordinal
        title = self._header.decode("utf-8", "surrogateescape").rstrip()
        identifier, description = split_header(title, file.place(ordinal) if "\0" in title else "")
        if self._odd:
            self._add_odd(identifier)
        letters, codes = _joined(self._letters), _joined(self._codes)
        self._letters, self._codes = [], []
        return SequenceRecord(identifier, description, letters, file.path, ordinal, codes)

    def _add_odd(self, identifier: str) -> None:
        text = b"".join(self._odd).decode("utf-8", "surrogateescape")
        try:
            sequence = nucleotides("".join(line.rstrip() for line in text.split("\n")))
        except ForeignLetterError as error:
            line = _first_foreign_line(self._file.path) if self._file.can_reopen else None
            raise error.at(self._file.place(self._ordinal, identifier, line=line)) from None
        self._odd = []
        self._letters.append(sequence)
        self._codes.append(encode_bases(sequence))


def _joined(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _first_foreign_line(path: str) -> int | None:
    """The number of the first sequence line with a foreign letter: a second pass, as counting lines would slow the first one down."""
    with open_sequence_file(path) as file:
        for number, line in enumerate(file.text, start=file.first_line):
            try:
                nucleotides("" if line.startswith(">") else line)
            except ForeignLetterError:
                return number
    return None
