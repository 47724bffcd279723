"""k-mers as numbers, and the tokenizer made of them.

Windows of k bases are put together by doubling, two windows of k/2 side by side, so that k costs about log2(k) passes over the sequence and not k.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Self

import numpy as np

from genomix.records import OTHER, decode_bases
from genomix.tokenizers.contract import TokenizerSettings

LONGEST_CODE = 31
"""Bases whose code fits into 64 bits with room to spare."""

_Join = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]


def kmer_codes(codes: np.ndarray, k: int) -> np.ndarray:
    """The number of every k-mer: 2 bits a base, A 0, C 1, G 2, T 3, the first base in the highest bits.

    Args:
        codes: uint8 base codes [bases]. A base that is none of ACGT counts as A; `valid_kmers` tells which k-mers hold one.
        k: 1 to 31.

    Returns:
        [max(0, bases - k + 1)] of the smallest unsigned type that holds 2k bits.
    """
    kind = _unsigned_type(k)
    if len(codes) < k:
        return np.empty(0, kind)
    return _windows(codes & 3, k, _join_codes)


def valid_kmers(codes: np.ndarray, k: int) -> np.ndarray:
    """Which k-mers consist of A, C, G, T alone: bool [max(0, bases - k + 1)], for uint8 base codes [bases] and k from 1 to 31."""
    _require_width(k)
    if len(codes) < k:
        return np.empty(0, bool)
    return _windows(codes < OTHER, k, lambda left, right, _width, _right_width: left & right)


def _windows(single: np.ndarray, k: int, join: _Join) -> np.ndarray:
    """All windows of width k <= len(single), from the windows of width 1. `join` puts windows beside their right neighbours, given both widths' sum."""
    if k == 1:
        return single
    half = k // 2
    halves = _windows(single, half, join)
    pairs = join(halves[:-half], halves[half:], 2 * half, half)
    return pairs if k % 2 == 0 else join(pairs[:-1], single[k - 1 :], k, 1)


def _join_codes(left: np.ndarray, right: np.ndarray, width: int, right_width: int) -> np.ndarray:
    joined = left.astype(_unsigned_type(width))
    joined <<= joined.dtype.type(2 * right_width)
    joined |= right
    return joined


def _require_width(k: int) -> None:
    if not 1 <= k <= LONGEST_CODE:
        raise ValueError(f"k must be 1 to {LONGEST_CODE}, got {k}")


def _unsigned_type(width: int) -> np.dtype:
    _require_width(width)
    return next(np.dtype(kind) for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if 2 * width <= 8 * np.dtype(kind).itemsize)


@lru_cache(maxsize=4)
def _canonical_table(k: int) -> tuple[np.ndarray, np.ndarray]:
    """(k-mer code -> canonical id, canonical id -> k-mer code). The id is the rank of the smaller of a k-mer and its reverse complement."""
    forward = np.arange(4**k, dtype=np.uint32)
    rest, reverse = forward.copy(), np.zeros_like(forward)
    for _ in range(k):
        reverse <<= 2
        reverse |= 3 - (rest & 3)
        rest >>= 2
    smaller = np.minimum(forward, reverse)
    representatives = np.flatnonzero(smaller == forward).astype(np.int32)
    ids = np.zeros(4**k, np.int32)
    ids[representatives] = np.arange(len(representatives), dtype=np.int32)
    table = ids[smaller]
    table.flags.writeable = representatives.flags.writeable = False  # shared by all tokenizers of this k
    return table, representatives


class KmerTokenizer:
    """Overlapping words of k bases; with `canonical` a word and its reverse complement are one token. See `Tokenizer`."""

    def __init__(self, k: int, stride: int = 1, *, canonical: bool = False) -> None:
        self.k = k
        self.stride = stride
        self.canonical = canonical
        self.unknown = len(_canonical_table(k)[1]) if canonical else 4**k
        self.vocabulary = self.unknown + 1

    @classmethod
    def from_settings(cls, settings: TokenizerSettings) -> Self:
        return cls(settings.k, settings.stride, canonical=settings.canonical)

    def encode(self, codes: np.ndarray) -> np.ndarray:
        words = kmer_codes(codes, self.k)[:: self.stride]
        ids = _canonical_table(self.k)[0][words] if self.canonical else words.astype(np.int32)
        ids[~valid_kmers(codes, self.k)[:: self.stride]] = self.unknown
        return ids

    def decode(self, token: int) -> str:
        if not 0 <= token < self.vocabulary:
            raise ValueError(f"token ids are 0 to {self.unknown}, got {token}")
        if token == self.unknown:
            return "N" * self.k
        word = int(_canonical_table(self.k)[1][token]) if self.canonical else int(token)
        return decode_bases(bytes(word >> 2 * place & 3 for place in reversed(range(self.k))))
