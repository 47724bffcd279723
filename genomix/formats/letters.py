"""The letters of a sequence, many at a time: line ends taken out, every letter looked at, base codes made.

The one module of this room that uses arrays: it does its work without holding the interpreter, so a thread can do it beside everything else.
"""

import numpy as np

from genomix.records import NUCLEOTIDE_LETTERS, OTHER, encode_bases

SPACE, FOREIGN = OTHER + 1, OTHER + 2
"""Codes of letters that are no bases: white space, and all that is no nucleotide code."""

_LINE_END = ord("\n")
_WHITE = b" \t\n\r\v\f"


def _code_table() -> np.ndarray:
    """uint8 [letter]."""
    table = np.full(256, FOREIGN, np.uint8)
    table[list(_WHITE)] = SPACE
    table[list(NUCLEOTIDE_LETTERS)] = list(encode_bases(NUCLEOTIDE_LETTERS))
    return table


_CODE = _code_table()
_TWO_CODES = (_CODE.astype(np.uint16)[:, None] << 8 | _CODE).ravel()
"""The codes of two letters at once: half the look-ups."""


def without_line_ends(text: bytes, left_out: list[tuple[int, int]]) -> tuple[np.ndarray, list[int]]:
    """The letters of a text, uint8, and how many of them stand before each part that is left out.

    Args:
        left_out: spans, rising, none touching another.
    """
    letters = np.frombuffer(text, np.uint8)
    keep = letters != _LINE_END
    counts, place, count = [], 0, 0
    for start, stop in left_out:
        count += int(np.count_nonzero(keep[place:start]))
        counts.append(count)
        keep[start:stop] = False
        place = stop
    return letters[keep], counts


def letter_codes(letters: np.ndarray) -> np.ndarray:
    """uint8 [letter]: base codes, `SPACE` and `FOREIGN`."""
    codes = np.empty(len(letters), np.uint8)
    even = len(letters) & ~1
    np.take(_TWO_CODES, letters[:even].view(np.uint16), out=codes[:even].view(np.uint16), mode="clip")  # clip: unchecked, all are in range
    codes[even:] = _CODE[letters[even:]]
    return codes
