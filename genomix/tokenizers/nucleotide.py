"""One token a base: the base codes themselves."""

from typing import Self

import numpy as np

from genomix.records import BASES, OTHER, decode_bases
from genomix.tokenizers.contract import TokenizerSettings


class NucleotideTokenizer:
    """A 0, C 1, G 2, T 3, and 4 for anything else. See `Tokenizer`."""

    k = 1
    stride = 1
    vocabulary = len(BASES) + 1
    unknown = OTHER

    @classmethod
    def from_settings(cls, settings: TokenizerSettings) -> Self:  # noqa: ARG003 - the settings of this kind leave no choice
        return cls()

    def encode(self, codes: np.ndarray) -> np.ndarray:
        return codes.astype(np.int32)

    def decode(self, token: int) -> str:
        if not 0 <= token < self.vocabulary:
            raise ValueError(f"token ids are 0 to {self.unknown}, got {token}")
        return decode_bases(bytes([token]))
