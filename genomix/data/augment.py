"""Changes to a training record's bases that leave its class as it is."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from genomix.records import OTHER

Strand = Literal["both", "forward"]

_COMPLEMENT = np.array([3, 2, 1, 0, OTHER], dtype=np.uint8)


class AugmentSettings(BaseModel):
    """How a record is changed each time it is seen in training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    substitutions: float = Field(default=0.05, ge=0, le=1)
    """Largest fraction of bases substituted; each record draws its own fraction, evenly from 0 to this."""
    whole: int = Field(default=32_768, ge=1)
    """Longest record, in bases, that is always seen whole; of a longer one a random stretch is seen, from this long to all of it, every doubling of the
    length alike often. So a network for long records learns from stretches of many lengths, at a cost that grows slowly."""
    rotate: bool = True
    """Start a circular record anywhere."""


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """The other strand of base codes [length], uint8."""
    return _COMPLEMENT[codes[::-1]]


def augment(
    codes: np.ndarray,
    rng: np.random.Generator,
    settings: AugmentSettings,
    *,
    strand: Strand,
    circular: bool,
    max_bases: int,
) -> tuple[np.ndarray, bool]:
    """A changed copy of a record's base codes, and whether its ends still join.

    Args:
        codes: uint8 [length].
        circular: whether the molecule is.
        max_bases: the longest record that the network takes whole; a longer one is cropped to it.
    """
    if circular and settings.rotate:
        codes = np.roll(codes, -int(rng.integers(len(codes))))
    kept = _crop(codes, rng, settings.whole, max_bases)
    if strand == "both" and rng.random() < 0.5:
        kept = reverse_complement(kept)
    return _substitute(kept, rng, settings.substitutions), circular and len(kept) == len(codes)


def _crop(codes: np.ndarray, rng: np.random.Generator, whole: int, max_bases: int) -> np.ndarray:
    longest = min(len(codes), max_bases)
    wanted = longest if longest <= whole else int(np.exp(rng.uniform(np.log(whole), np.log(longest))))
    start = int(rng.integers(len(codes) - wanted + 1))
    return codes[start : start + wanted]


def mean_length(lengths: np.ndarray, settings: AugmentSettings, max_bases: int) -> float:
    """Bases that a record is seen with on average, over records of these lengths."""
    longest = np.minimum(lengths, max_bases).astype(np.float64)
    ratio = np.maximum(longest / settings.whole, 1.0)
    # The mean of a length drawn evenly on a logarithmic scale.
    seen = np.where(ratio > 1, (longest - settings.whole) / np.log(np.where(ratio > 1, ratio, np.e)), longest)
    return float(seen.mean())


def _substitute(codes: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """Replace a random fraction of the known bases by one of the three others."""
    if most == 0:
        return codes
    count = int(rng.binomial(len(codes), rng.uniform(0, most)))
    places = rng.integers(len(codes), size=count)
    changed = codes.copy()
    known = places[changed[places] < OTHER]
    changed[known] = (changed[known] + rng.integers(1, 4, size=len(known), dtype=np.uint8)) % 4
    return changed
