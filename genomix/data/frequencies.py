"""How often each k-mer occurs in a record: what the baselines and the spectral start of the embedding are made of."""

import numpy as np

from genomix.data.augment import Strand
from genomix.data.store import Dataset
from genomix.tokenizers.kmers import kmer_codes, valid_kmers

_BASES_AT_ONCE = 1 << 18
"""Bases that are counted at a time: bounds the memory for records of any length, and stays in the cache."""

ROWS_AT_ONCE = 1_024
"""Records that are counted at a time where there may be many."""


def kmer_frequencies(dataset: Dataset, indices: np.ndarray, k: int, strand: Strand) -> np.ndarray:
    """Each record's share of every k-mer, float32 [records, 4**k], the columns in the order of `kmer_codes`.

    k-mers with a letter other than A, C, G, T are left out; a row sums to 1, or to 0 where a record has no k-mer. With `strand="both"` a k-mer and its
    reverse complement get the mean of the two, so a record and its other strand have one row.
    """
    table = np.empty((len(indices), 4**k), dtype=np.float32)
    for row, index in zip(table, indices, strict=True):
        codes = dataset.codes(int(index))
        if dataset.circular and len(codes) >= k:  # as the network's tokens go across the joint
            codes = np.concatenate([codes, codes[: k - 1]])
        counts = kmer_counts(codes, k)
        row[:] = counts / max(1, counts.sum())
    if strand == "both":
        table += table[:, complement_order(k)]
        table /= 2
    return table


def distinct_kmers(k: int, strand: Strand) -> np.ndarray:
    """The codes of the k-mers whose shares are not another one's too, int64, rising: with `strand="both"` one of each pair of reverse complements."""
    codes = np.arange(4**k)
    return codes[codes <= complement_order(k)] if strand == "both" else codes


def distinct_frequencies(dataset: Dataset, indices: np.ndarray, k: int, strand: Strand) -> np.ndarray:
    """The columns of `kmer_frequencies` that are those of `distinct_kmers`, float32; of the others there are a few rows at a time only."""
    columns = distinct_kmers(k, strand)
    table = np.empty((len(indices), len(columns)), dtype=np.float32)
    for start in range(0, len(indices), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        table[rows] = kmer_frequencies(dataset, indices[rows], k, strand)[:, columns]
    return table


def shorter_frequencies(table: np.ndarray, k: int, short: int, strand: Strand) -> np.ndarray:
    """What a table of `distinct_frequencies` says of shorter words: how often a k-mer begins with each, float32 [records, word of `distinct_kmers(short)`].

    So the words in a record's last k - short letters are left out; with `strand="both"` it is the mean of both strands, each without its last.
    """
    if short == k:
        return table
    codes = np.arange(4**k)
    first = np.minimum(codes, complement_order(k)) if strand == "both" else codes
    columns = np.searchsorted(distinct_kmers(k, strand), first).reshape(4**short, -1)[distinct_kmers(short, strand)]
    found = np.zeros((len(table), len(columns)), dtype=np.float32)
    for start in range(0, len(table), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        for column in columns.T:
            found[rows] += table[rows][:, column]
    return found


def kmer_counts(codes: np.ndarray, k: int) -> np.ndarray:
    """How often each k-mer occurs in base codes (uint8 [length]), int64 [4**k]; those with another letter than A, C, G, T are left out."""
    counts = np.zeros(4**k, dtype=np.int64)
    for start in range(0, len(codes) - k + 1, _BASES_AT_ONCE):
        piece = codes[start : start + _BASES_AT_ONCE + k - 1]
        counts += np.bincount(kmer_codes(piece, k)[valid_kmers(piece, k)], minlength=4**k)
    return counts


def complement_order(k: int) -> np.ndarray:
    """The code of each k-mer's reverse complement, int64 [4**k]."""
    forward = np.arange(4**k)
    reverse = np.zeros_like(forward)
    for _ in range(k):
        reverse = reverse * 4 + 3 - forward % 4
        forward //= 4
    return reverse
