"""Bases -> integer ids. A tokenizer is a class listed in `TOKENIZERS`, one file each; `contract.Tokenizer` says what it must do."""

from collections.abc import Callable

from genomix.tokenizers.contract import LONGEST_KMER, Tokenizer, TokenizerSettings
from genomix.tokenizers.kmers import KmerTokenizer
from genomix.tokenizers.nucleotide import NucleotideTokenizer

__all__ = ["LONGEST_KMER", "TOKENIZERS", "Tokenizer", "TokenizerSettings", "build_tokenizer"]

TOKENIZERS: dict[str, Callable[[TokenizerSettings], Tokenizer]] = {
    "kmer": KmerTokenizer.from_settings,
    "nucleotide": NucleotideTokenizer.from_settings,
}


def build_tokenizer(settings: TokenizerSettings) -> Tokenizer:
    """The tokenizer that the settings describe."""
    return TOKENIZERS[settings.kind](settings)
