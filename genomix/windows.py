"""How a record is read: whole, or in overlapping windows of one length where it is longer than the network takes.

A window is a place in a record until its batch runs; only then are its tokens made. So of a chromosome that is read in windows the bases are held, not the
tokens of all windows on both strands.
"""

from dataclasses import dataclass

import numpy as np

from genomix.data.augment import reverse_complement
from genomix.data.batches import max_bases, token_count, tokenize
from genomix.records import OTHER
from genomix.tokenizers import Tokenizer
from genomix.tokenizers.kmers import valid_kmers


@dataclass(frozen=True, slots=True)
class Window:
    """One strand of a stretch of a record.

    Attributes:
        codes: uint8 base codes of the whole record, read forward.
        start, stop: of the stretch; a `stop` beyond the record goes on at its first base.
        reverse: whether the other strand is read.
        ring: whether the stretch is a whole circular record, whose ends are joined.
        tokens: how many it makes.
    """

    codes: np.ndarray
    start: int
    stop: int
    reverse: bool
    ring: bool
    tokens: int

    def ids(self, tokenizer: Tokenizer) -> np.ndarray:
        """Its tokens, int32 [tokens]."""
        bases = stretch(self.codes, self.start, self.stop)
        return tokenize(reverse_complement(bases) if self.reverse else bases, tokenizer, circular=self.ring)


@dataclass(frozen=True, slots=True)
class Reader:
    """Cuts records into the windows that a network reads.

    Attributes:
        max_tokens: of the longest window.
        strands: 1, or 2 where both are read.
        circular: whether the molecules are: one that fits is read as a ring, and of a longer one a window crosses the joint like any other place.
        overlap: fraction of a window that it shares with the next, at least.
    """

    tokenizer: Tokenizer
    max_tokens: int
    strands: int
    circular: bool
    overlap: float

    def windows(self, codes: np.ndarray) -> tuple[list[Window], list[int]]:
        """A record's windows, those of one place beside each other, strand after strand; and the known tokens of each place.

        Windows without any known token say nothing: they are left out where there are others.
        """
        spans = self.spans(len(codes))
        known = [known_tokens(stretch(codes, *span), self.tokenizer) for span in spans]
        told = [i for i, tokens in enumerate(known) if tokens] or range(len(spans))
        ring = self.circular and len(codes) <= self._longest(ring=True)
        tokens = token_count(spans[0][1] - spans[0][0], self.tokenizer, circular=ring)
        windows = [Window(codes, *spans[i], reverse, ring, tokens) for i in told for reverse in (False, True)[: self.strands]]
        return windows, [known[i] or 1 for i in told]

    def spans(self, length: int) -> list[tuple[int, int]]:
        """Where the windows of a record of `length` bases start and stop, all of one size and evenly spaced; those of a ring go once around."""
        # A ring a few bases too long may fit as a line, which has fewer tokens.
        size = min(length, self._longest(ring=False))
        if length <= self._longest(ring=self.circular) or size == length:
            return [(0, length)]
        step = max(1, int(size * (1 - self.overlap)))
        if self.circular:
            count = -(-length // step)
            return [(start, start + size) for start in (i * length // count for i in range(count))]
        count = int(np.ceil((length - size) / step)) + 1
        return [(int(start), int(start) + size) for start in np.linspace(0, length - size, count).round()]

    def _longest(self, *, ring: bool) -> int:
        return max_bases(self.max_tokens, self.tokenizer, circular=ring)


def known_tokens(codes: np.ndarray, tokenizer: Tokenizer) -> int:
    """How many of a stretch's tokens are of A, C, G, T alone; the others are all one id. uint8 base codes [length]."""
    if not (codes >= OTHER).any():
        return token_count(len(codes), tokenizer)
    return int(np.count_nonzero(valid_kmers(codes, tokenizer.k)[:: tokenizer.stride]))


def stretch(codes: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Bases from `start` to `stop`; beyond the last one they go on at the first."""
    beyond = stop - len(codes)
    return codes[start:stop] if beyond <= 0 else np.concatenate([codes[start:], codes[:beyond]])
