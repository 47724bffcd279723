"""The letters of FASTA, a block of the file at a time: header lines found, line ends taken out, every letter looked at and coded.

`Scanner` has this done by compiled code where it can be had (`genomix.native`), and by numpy otherwise. The one module of this room that uses arrays.
"""

from typing import NamedTuple

import numpy as np

from genomix.native.sequences import library
from genomix.records import NUCLEOTIDE_LETTERS, OTHER, encode_bases

SPACE, FOREIGN = OTHER + 1, OTHER + 2
"""Codes of letters that are no bases: white space, and all that is no nucleotide code."""

_LINE_END = ord("\n")
_WHITE = b" \t\n\r\v\f"
_MOST_HEADERS = 1 << 14
"""In a block that compiled code looks at; one with more is left to numpy."""


class Block(NamedTuple):
    """A piece of a FASTA file. Its arrays hold good until the next one is scanned.

    Attributes:
        text: its bytes.
        headers: start and stop of each header line, `>` included and the line end not, and how many letters stand before it.
        letters, codes: uint8, all but headers and line ends, and their codes.
        highest: the highest code.
    """

    text: bytes
    headers: list[list[int]]
    letters: np.ndarray
    codes: np.ndarray
    highest: int


def _code_table() -> np.ndarray:
    """uint8 [letter]."""
    table = np.full(256, FOREIGN, np.uint8)
    table[list(_WHITE)] = SPACE
    table[list(NUCLEOTIDE_LETTERS)] = list(encode_bases(NUCLEOTIDE_LETTERS))
    return table


_CODE = _code_table()


class Scanner:
    """Looks at pieces of FASTA, in buffers that are allocated once: fresh memory would cost more than the work."""

    def __init__(self) -> None:
        self._letters = self._codes = np.empty(0, np.uint8)
        self._spans = np.empty((_MOST_HEADERS, 3), np.int64)
        self._found = np.empty(3, np.int64)

    def scan(self, text: bytes, *, line_start: bool) -> Block:
        """One piece.

        Args:
            text: line ends are `\\n`; header lines are whole.
            line_start: whether it begins with a line.
        """
        native = library()
        if native is None:
            return scan_with_numpy(text, line_start=line_start)
        if len(self._letters) < len(text):
            self._letters, self._codes = np.empty(len(text), np.uint8), np.empty(len(text), np.uint8)
        spans, letters, codes, found = self._spans, self._letters, self._codes, self._found
        places = (array.ctypes.data for array in (letters, codes, found))
        if native.scan(text, len(text), line_start, _CODE.ctypes.data, spans.ctypes.data, _MOST_HEADERS, *places):
            return scan_with_numpy(text, line_start=line_start)
        headers, count, highest = found.tolist()
        return Block(text, spans[:headers].tolist(), letters[:count], codes[:count], highest)


def scan_with_numpy(text: bytes, *, line_start: bool) -> Block:
    """What `Scanner.scan` gives, in Python and numpy."""
    everything = np.frombuffer(text, np.uint8)
    keep = everything != _LINE_END
    headers, count, place = [], 0, 0
    while (start := _next_header(text, place, line_start=line_start)) >= 0:
        count += int(np.count_nonzero(keep[place:start]))
        end = text.find(b"\n", start)
        place = end if end >= 0 else len(text)
        keep[start:place] = False
        headers.append([start, place, count])
    letters = everything[keep]
    codes = _CODE[letters]
    return Block(text, headers, letters, codes, int(codes.max(initial=0)))


def _next_header(text: bytes, place: int, *, line_start: bool) -> int:
    """Where the next header line begins; -1 where there is none."""
    if place == 0 and line_start and text.startswith(b">"):
        return 0
    found = text.find(b"\n>", place)
    return found + 1 if found >= 0 else -1
