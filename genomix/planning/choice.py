"""How an update is made to fit: keep all activations, else compute them again in the backward pass, else take fewer tokens at a time too."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genomix.data.batches import similar_lengths
from genomix.planning.costs import Costs, Part

SHARE = 0.9
"""Of the free memory that updates may take: other programs grow too."""

Recompute = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What training does with an update.

    Attributes:
        token_budget: tokens of a padded batch.
        recompute: whether activations are computed again.
        need: bytes that it takes.
        fits: whether there are so many.
    """

    token_budget: int
    recompute: bool
    need: int
    fits: bool


def choose(costs: Costs, lengths: np.ndarray, *, token_budget: int, max_records: int, memory: float, recompute: Recompute) -> Choice:
    """The first that fits; where none does, the one that takes least.

    Args:
        lengths: tokens of the records of the update.
        token_budget: the most that is wanted.
        memory: bytes that there are beside what the process holds already.
    """
    found = [
        Choice(budget, again, need, fits=need <= memory)
        for again, budget in _ladder(int(lengths.max()), token_budget, recompute)
        for need in [costs.growth + costs.update(parts_of(lengths, budget, max_records), "recomputed" if again else "plain")]
    ]
    return next((choice for choice in found if choice.fits), min(found, key=lambda choice: choice.need))


def largest_update(lengths: np.ndarray, max_bases: int, stride: int, max_records: int) -> np.ndarray:
    """Tokens of the records that make the largest update, at least one each: the longest ones, from records of these lengths in bases."""
    return np.sort(np.maximum(1, np.minimum(lengths, max_bases) // stride))[-max_records:]


def parts_of(lengths: np.ndarray, token_budget: int, max_records: int) -> list[Part]:
    """The padded batches that records of these lengths are run in."""
    return [(len(part), int(lengths[part].max())) for part in similar_lengths(lengths, token_budget=token_budget, max_records=max_records)]


def _ladder(longest: int, token_budget: int, recompute: Recompute) -> Iterator[tuple[bool, int]]:
    if recompute != "always":
        yield False, token_budget
    if recompute == "never":
        return
    yield True, token_budget
    while token_budget >= 2 * longest:  # below that the longest records go one by one anyway
        token_budget //= 2
        yield True, token_budget
