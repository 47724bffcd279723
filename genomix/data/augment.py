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

    substitutions: float = Field(default=0.2, ge=0, le=1)
    """Largest fraction of bases substituted; each record draws its own fraction, evenly from 0 to this."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Smallest fraction of a record that a random crop keeps; 1 crops only what is longer than the network takes."""
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
    min_bases: int = 1,
) -> tuple[np.ndarray, bool]:
    """A changed copy of a record's base codes, and whether its ends still join.

    Args:
        codes: uint8 [length].
        circular: whether the molecule is.
        max_bases: the longest record that the network takes whole; a longer one is cropped to it.
        min_bases: what a crop keeps at least, where the record has as many.
    """
    if circular and settings.rotate:
        codes = np.roll(codes, -int(rng.integers(len(codes))))
    kept = _crop(codes, rng, settings.crop, min_bases, max_bases)
    if strand == "both" and rng.random() < 0.5:
        kept = reverse_complement(kept)
    return substitute(kept, rng, settings.substitutions), circular and len(kept) == len(codes)


def _crop(codes: np.ndarray, rng: np.random.Generator, smallest: float, min_bases: int, max_bases: int) -> np.ndarray:
    wanted = len(codes) if smallest == 1 else int(np.ceil(len(codes) * rng.uniform(smallest, 1)))
    wanted = min(max(wanted, min_bases), max_bases, len(codes))
    start = int(rng.integers(len(codes) - wanted + 1))
    return codes[start : start + wanted]


def substitute(codes: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """Replace a random fraction of the known bases by one of the three others."""
    if most == 0:
        return codes
    count = int(rng.binomial(len(codes), rng.uniform(0, most)))
    places = rng.integers(len(codes), size=count)
    changed = codes.copy()
    known = places[changed[places] < OTHER]
    changed[known] = (changed[known] + rng.integers(1, 4, size=len(known), dtype=np.uint8)) % 4
    return changed
