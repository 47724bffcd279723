"""What guessing hidden words without a network comes to, from how often words occur in all records or in what is shown of the record itself.

The record's own words are too many to be counted well in a short record, so its bases, pairs and triplets guess too: records of random bases, each with a GC
content of its own, leave nothing to learn beside those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from genomix.data.frequencies import complement_order, kmer_counts
from genomix.data.masking import without_hidden
from genomix.train.masked import MaskedBatches

_LONGEST = 3
"""Bases of the longest word that a chain of bases is made from."""
_PSEUDO = 4.0
"""Counts that a base's frequencies after others begin with, spread as after fewer: one for each base."""
_SURE = 0.975
"""Of the chance distribution, below which a lead tells nothing."""


@dataclass(frozen=True, slots=True)
class Guesses:
    """On the hidden words of records.

    Attributes:
        asked: how many words each record hides, int64 [record].
        losses: the negative log-likelihood of each record's hidden words, summed, float64 [record], by each way to guess.
            `overall`: every word as often as in the training records.
            `own_record`: as often as in what is shown of the record, with one word's worth of the overall frequencies for every word that there is, so that
            none is impossible.
            `own_bases`: by what is shown of the record's bases, pairs or triplets, in the one way that is best over all records.
    """

    asked: np.ndarray
    losses: dict[str, np.ndarray]

    def mean(self, name: str) -> float:
        """In nats a word."""
        return self.per_word(self.losses[name])

    def per_word(self, losses: np.ndarray) -> float:
        """Of losses of the same records."""
        return float(losses.sum() / max(1, self.asked.sum()))

    def lead(self, losses: np.ndarray) -> tuple[float, float | None]:
        """How far losses of the same records lie below the best guess, in nats a word, and how far they may by chance, as these records scatter.

        Two standard errors where there are many records, more where there are few; None where there is one.
        """
        best = min(self.losses.values(), key=np.sum)
        gain = self.per_word(best - losses)
        records = int((self.asked > 0).sum())
        if records < 2:
            return gain, None
        from scipy.special import stdtrit  # slow to load

        scatter = best - losses - gain * self.asked  # a record counts by its words
        error = np.sqrt(records / (records - 1) * (scatter**2).sum()) / self.asked.sum()
        return gain, float(stdtrit(records - 1, _SURE) * error)


def word_frequencies(batches: MaskedBatches, *, most_records: int = 4096) -> np.ndarray:
    """How often each word occurs in these records, float64 [word]; none is 0, and a word is as frequent as its reverse complement where both strands are read.

    Of more records a sample is drawn: the first ones may all be of one file, and so of one species.
    """
    counts = np.ones(4**batches.word)
    for record in np.sort(np.random.default_rng((batches.seed, 1)).permutation(batches.indices)[:most_records]):
        counts += kmer_counts(batches.dataset.codes(int(record)), batches.word)
    if batches.strand == "both":
        counts += counts[complement_order(batches.word)]
    return counts / counts.sum()


def guess(batches: MaskedBatches, frequencies: np.ndarray) -> Guesses:
    """On what epoch 0 hides.

    Args:
        frequencies: of `word_frequencies`.
    """
    asked, losses = [], []
    for record in batches.indices:
        codes, hidden, ring = batches.masked(int(record), 0)
        words = batches.words(codes, hidden, ring=ring)
        counts = np.bincount(words[words >= 0], minlength=4**batches.word)
        shown = without_hidden(codes, hidden)
        own = kmer_counts(shown, batches.word)
        mixed = (own + len(own) * frequencies) / (own.sum() + len(own))
        ways = [np.log(frequencies), np.log(mixed), *_by_bases(shown, frequencies, batches)]
        asked.append(int(counts.sum()))
        losses.append([-float(counts @ way) for way in ways])
    overall, own_record, *by_bases = np.array(losses).T
    return Guesses(np.array(asked), {"overall": overall, "own_record": own_record, "own_bases": min(by_bases, key=np.sum)})


def _by_bases(shown: np.ndarray, frequencies: np.ndarray, batches: MaskedBatches) -> list[np.ndarray]:
    """The log-probability of every word, float64 [word] each, by what is shown of a record: uint8 [base]."""
    word = batches.word
    one_strand = [kmer_counts(shown, length) for length in range(1, min(_LONGEST, word) + 1)]
    both = [counts + counts[complement_order(length)] for length, counts in enumerate(one_strand, start=1)]
    usual = _product(frequencies.reshape(4, -1).sum(1), word)
    found = []
    for counts in (one_strand, both) if batches.strand == "both" else (one_strand,):
        chains = [_chain(counts[:length], word) for length in range(1, len(counts) + 1)]
        tilted = np.log(frequencies) + chains[0] - usual  # the overall words, with this record's bases
        found += [*chains, tilted - np.logaddexp.reduce(tilted)]
    return found


def _chain(counts: Sequence[np.ndarray], word: int) -> np.ndarray:
    """The log-probability of every word, float64 [4**word], where a base depends on those before it.

    Args:
        counts: of single bases, int64 [4], of pairs, int64 [16], and so on: as far as the dependence goes.
    """
    likelihood, after = np.zeros(1), np.full((1, 4), 0.25)
    for place in range(word):
        if place < len(counts):
            table = counts[place].reshape(-1, 4)
            prior = _PSEUDO * after[np.arange(len(table)) % len(after)]  # after one base fewer: codes end in the last bases
            after = (table + prior) / (table.sum(1, keepdims=True) + _PSEUDO)
        likelihood = (likelihood[:, None] + np.log(after)[np.arange(len(likelihood)) % len(after)]).ravel()
    return likelihood


def _product(bases: np.ndarray, word: int) -> np.ndarray:
    """The log-probability of every word of independent bases, float64 [4**word]."""
    return reduce(np.add.outer, [np.log(bases)] * word).ravel()
