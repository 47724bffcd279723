"""Small hashes of the canonical 16-mers of a sequence, fast: about 1 ns a base.

A hash has two halves. The upper one comes from the k-mer's two outer halves, each read 5' to 3' from its own end, so both strands give the same; it is
cheap enough to compute for every k-mer and rules nearly all of them out. Only for the rest the lower half is computed, from the whole canonical k-mer.
`KmerHasher` does what `reference_hashes` says, in buffers that are allocated once and fit the cache: fresh memory would cost more than the arithmetic.
"""

import ctypes

import numpy as np

from genomix.native.sequences import library
from genomix.records import OTHER
from genomix.tokenizers.kmers import kmer_codes

K = 16
"""Bases of a k-mer: its code just fills 32 bits, and a chance match between two records of a megabase is rare (1 k-mer in 2,000)."""

_HALF = K // 2
_CHUNK = 1 << 19
"""K-mers looked at together: many, so that threads seldom meet at the interpreter's lock."""
_ROOM, _ROOM_AT_LEAST = 1.5, 1024
"""Small hashes that a sequence is expected to have, over those of a random one; one that repeats itself has more, and is then looked at twice."""
_UPPER_FACTOR = np.uint16(0x9E6D)
_LOWER_START, _LOWER_FACTOR = np.uint32(0x9E3779B9), np.uint32(0x21F0AAAD)
_HALF_BITS = np.uint32(16)


def reference_hashes(codes: np.ndarray) -> np.ndarray:
    """uint32 [k-mer]: the hash of each k-mer; one that holds an unknown base gets a hash without meaning.

    Args:
        codes: uint8 base codes [base].
    """
    ahead = kmer_codes(codes, _HALF)
    back = kmer_codes((3 - codes)[::-1], _HALF)[::-1]
    left, right = ahead[:-_HALF], back[_HALF:]
    canonical = np.minimum(kmer_codes(codes, K), kmer_codes((3 - codes)[::-1], K)[::-1])
    return _hashes((left + right) * _UPPER_FACTOR, canonical)


def _hashes(upper: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """uint32: the two halves put together."""
    lower = (canonical ^ _LOWER_START) * _LOWER_FACTOR
    return upper.astype(np.uint32) << _HALF_BITS | (lower >> _HALF_BITS)


def _native_small_hashes(native: ctypes.CDLL, codes: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    kmers = max(0, len(codes) - K + 1)
    codes = np.ascontiguousarray(codes)
    room = int(kmers * (limit / 2**32) * _ROOM) + _ROOM_AT_LEAST
    while True:
        places, hashes = np.empty(room, np.int64), np.empty(room, np.uint32)
        found = native.small_hashes(codes.ctypes.data, kmers, limit, places.ctypes.data, hashes.ctypes.data, room)
        if found <= room:
            return places[:found], hashes[:found]
        room = found


class KmerHasher:
    """Finds the k-mers with small hashes. Holds work space, so each thread needs its own."""

    def __init__(self) -> None:
        size = _CHUNK + K  # a multiple of 8, as buffers are also seen as words of eight bytes
        self._bytes = [np.zeros(size, np.uint8) for _ in range(3)]
        self._ahead, self._back, self._spare = (np.zeros(size, np.uint16) for _ in range(3))
        self._small, self._known = np.zeros(size, bool), np.zeros(size, bool)

    def small_hashes(self, codes: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Places (int64) and hashes (uint32) of the k-mers without an unknown base whose hash is at most `limit`, in order.

        Args:
            codes: uint8 base codes [base].
        """
        native = library()
        if native is not None:
            return _native_small_hashes(native, codes, limit)
        return self.small_hashes_with_numpy(codes, limit)

    def small_hashes_with_numpy(self, codes: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """What `small_hashes` gives, without compiled code."""
        found = [
            self._small_in_chunk(codes[start : start + _CHUNK + K - 1], start, limit) for start in range(0, len(codes) - K + 1, _CHUNK)
        ]
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.uint32)
        places, hashes = zip(*found, strict=True)
        return np.concatenate(places), np.concatenate(hashes)

    def _small_in_chunk(self, codes: np.ndarray, start: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(codes) - K + 1
        self._join_halves(codes)
        upper, small = self._spare[:count], self._small[:count]
        np.add(self._ahead[:count], self._back[_HALF : _HALF + count], out=upper)
        np.multiply(upper, _UPPER_FACTOR, out=upper)
        np.less_equal(upper, np.uint16(limit >> 16), out=small)
        if codes.max() == OTHER:
            small &= self._all_known(codes)[:count]
        places = np.flatnonzero(small)
        ahead = self._ahead[places].astype(np.uint32) << _HALF_BITS | self._ahead[places + _HALF]
        back = self._back[places + _HALF].astype(np.uint32) << _HALF_BITS | self._back[places]
        hashes = _hashes(upper[places], np.minimum(ahead, back))
        chosen = hashes <= np.uint32(limit)
        return places[chosen] + start, hashes[chosen]

    def _join_halves(self, codes: np.ndarray) -> None:
        """Codes of all 8-mers, and of their reverse complements, by doubling."""
        letters, first, second = self._bytes
        np.bitwise_and(codes, 3, out=letters[: len(codes)])
        _append(letters, first, 1)
        _append(first, second, 2)
        np.copyto(self._spare, second)
        _append(self._spare, self._ahead, 4)
        _prepend(letters, first, 1)
        _prepend(letters, first, 2)
        np.copyto(self._back, letters)
        _prepend(self._back, self._spare, 4)
        np.invert(self._back, out=self._back)  # the complement of base b is 3 - b, in every pair of bits

    def _all_known(self, codes: np.ndarray) -> np.ndarray:
        """bool [k-mer, then nothing of meaning]: whether it is of A, C, G, T alone."""
        known = self._known
        np.less(codes, OTHER, out=known[: len(codes)])
        for width in (1, 2, 4, 8):
            known[:-width] &= known[width:]
        return known


def _append(halves: np.ndarray, doubled: np.ndarray, width: int) -> None:
    """Codes of `width` bases -> of 2 * width, the first base in the highest bits."""
    _shift(halves, doubled, width)
    np.bitwise_or(doubled[:-width], halves[width:], out=doubled[:-width])


def _prepend(halves: np.ndarray, space: np.ndarray, width: int) -> None:
    """Codes of `width` bases -> of 2 * width, the last base in the highest bits; written over the codes themselves."""
    _shift(halves, space, width)
    np.bitwise_or(halves[:-width], space[width:], out=halves[:-width])


def _shift(codes: np.ndarray, shifted: np.ndarray, width: int) -> None:
    # The numbers are below 4 ** width, so eight bytes can be shifted as one word and nothing crosses into a neighbour.
    np.left_shift(codes.view(np.uint64), np.uint64(2 * width), out=shifted.view(np.uint64))
