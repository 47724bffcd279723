"""Where the weights start: the spectral start of the k-mer embedding.

A few hundred records can't teach a network what thousands of k-mers mean, but their co-variation says much without any label. Take the training
records' k-mer frequencies, standardise each k-mer's, and decompose: F = U S V^T. A k-mer's embedding is its row of V divided by the singular values and by
its standard deviation; then the mean embedding of a record, sum over k-mers of frequency times embedding, is its row of U up to a constant: whitened
component scores, scaled to variance 1.
"""

import logging

import numpy as np
import torch
from scipy.linalg import eigh

from genomix.data.augment import Strand
from genomix.data.frequencies import kmer_frequencies
from genomix.data.store import Dataset
from genomix.errors import DataError
from genomix.nn.classifier import Classifier
from genomix.tokenizers import TokenizerSettings

_log = logging.getLogger(__name__)

LONGEST_SPECTRAL_K = 7
"""4^7 k-mers are decomposed in seconds; 4^8 need a gigabyte."""

_MOST_RECORDS = 4096
_NEGLIGIBLE = 1e-3
"""Components below this fraction of the first one's singular value are noise that dividing would blow up."""


def start_embedding(
    model: Classifier, dataset: Dataset, records: np.ndarray, tokenizer: TokenizerSettings, *, strand: Strand, seed: int
) -> bool:
    """Write the spectral start into the model's embedding; False, with the weights untouched, where it does not apply, or all records have the same frequencies.

    Raises:
        DataError: no record has a k-mer of A, C, G, T alone.
    """
    if tokenizer.kind != "kmer" or tokenizer.canonical or tokenizer.k > LONGEST_SPECTRAL_K or len(records) < 2:
        return False
    rng = np.random.default_rng((seed, 1))
    sample = rng.permutation(records)[:_MOST_RECORDS]
    frequencies = kmer_frequencies(dataset, np.sort(sample), tokenizer.k, strand)
    if not frequencies.any():
        raise DataError(
            f"no training record has a {tokenizer.k}-mer of A, C, G, T alone", hint="a lower --max-ambiguous leaves such records out"
        )
    loadings = spectral_loadings(frequencies, model.embedding.weight.shape[1])
    if not loadings.shape[1]:
        return False
    _fill(model.embedding.weight, loadings, torch.Generator().manual_seed(seed))
    _log.info("spectral start: %d records' %d-mer frequencies", len(sample), tokenizer.k)
    return True


def spectral_memory(records: int, k: int) -> int:
    """Bytes that `start_embedding` takes for a while at most, about: the frequencies in two precisions, and the smaller Gram matrix."""
    rows, columns = min(records, _MOST_RECORDS), 4**k
    return 0 if k > LONGEST_SPECTRAL_K else 12 * rows * columns + 8 * min(rows, columns) ** 2


def _fill(weight: torch.Tensor, loadings: np.ndarray, generator: torch.Generator) -> None:
    with torch.no_grad():
        weight.normal_(std=0.02 * float(np.std(loadings)) or 0.02, generator=generator)
        weight[: len(loadings), : loadings.shape[1]] = torch.from_numpy(loadings)
        weight[len(loadings) :] = 0  # the unknown k-mer says nothing


def spectral_loadings(frequencies: np.ndarray, components: int) -> np.ndarray:
    """One embedding a k-mer.

    Args:
        frequencies: float [record, k-mer].
        components: at most how many; fewer where the records have fewer.

    Returns:
        float32 [k-mer, component], such that frequencies @ result has variance 1 in every component.
    """
    spread = frequencies.std(0)
    spread[spread == 0] = np.inf
    standard = frequencies.astype(np.float64)
    standard -= standard.mean(0)
    standard /= spread
    singular, vectors = _right_singular(standard, components)
    return (vectors / singular / spread[:, None] * np.sqrt(len(frequencies))).astype(np.float32)


def _right_singular(matrix: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest singular values and their right vectors [column, component], through the smaller Gram matrix."""
    rows, columns = matrix.shape
    gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    size = len(gram)
    # The largest few alone: all of them would take four times the matrix.
    squares, vectors = eigh(gram, subset_by_index=(max(0, size - components), size - 1), driver="evr", overwrite_a=True, check_finite=False)
    singular = np.sqrt(np.clip(squares[::-1], 0, None))
    kept = int((singular > singular[0] * _NEGLIGIBLE).sum())
    vectors = vectors[:, ::-1][:, :kept]
    if rows <= columns:
        vectors = matrix.T @ vectors / singular[:kept]
    return singular[:kept], vectors * np.where(vectors.sum(0) < 0, -1, 1)  # a sign of its own would depend on the LAPACK build
