"""What every tokenizer is, and the settings that choose one."""

from typing import Any, Literal, Protocol, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

LONGEST_KMER = 12
"""Above it a table of k-mers no longer fits: 4^12 = 16.8 million ids."""


class TokenizerSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["kmer", "nucleotide"] = "kmer"
    """`kmer`: ids of overlapping words of k bases; `nucleotide`: one id a base (k and stride are 1)."""
    k: int = Field(default=6, ge=1, le=LONGEST_KMER)
    """Bases in a k-mer."""
    stride: int = Field(default=1, ge=1)
    """Bases from the start of one k-mer to the start of the next."""
    canonical: bool = False
    """Give a k-mer and its reverse complement one id."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_nucleotide(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "nucleotide":
            return {"k": 1, "stride": 1, **values}
        return values

    @model_validator(mode="after")
    def _require_fitting(self) -> Self:
        if self.kind == "nucleotide" and (self.k, self.stride, self.canonical) != (1, 1, False):
            raise ValueError("kind 'nucleotide' has k = 1, stride = 1 and is not canonical; for others choose kind 'kmer'")
        return self


class Tokenizer(Protocol):
    """Base codes (A 0, C 1, G 2, T 3, other 4) -> integer ids 0 .. vocabulary - 1. The last id, `unknown`, stands for a token with a base that is none of ACGT.

    Attributes:
        k: bases in a token.
        stride: bases from one token's start to the next one's.
        vocabulary: how many ids there are, the unknown id included.
        unknown: the id `vocabulary - 1`.
    """

    k: int
    stride: int
    vocabulary: int
    unknown: int

    def encode(self, codes: np.ndarray) -> np.ndarray:
        """uint8 codes [bases] -> int32 ids [max(0, (bases - k) // stride + 1)]; bases at the end that fill no token are left out."""
        ...

    def decode(self, token: int) -> str:
        """The letters of an id, `N` for each base of the unknown one. Raises ValueError outside the vocabulary."""
        ...
