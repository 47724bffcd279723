"""Hidden spans for pretraining: which bases a record is shown without, and the words in them that the network has to guess.

Bases are hidden, not tokens. A hidden base has the code of a letter that is none of A, C, G, T, so every k-mer that touches it becomes the unknown token,
whatever k and stride: neighbouring k-mers, which share k - 1 bases with a hidden one, can't give it away.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from genomix.records import OTHER
from genomix.tokenizers.kmers import kmer_codes, valid_kmers

LONGEST_WORD = 6
"""4^6 words are guessed at a position; one more base would quadruple the largest layer of the network."""


class MaskingSettings(BaseModel):
    """What pretraining hides, and what it asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.3, gt=0, lt=1)
    """Fraction of a record that is hidden."""
    span: int = Field(default=4, ge=1)
    """Positions hidden in a row; a position is `model.patch` tokens."""
    word: int = Field(default=4, ge=1, le=LONGEST_WORD)
    """Bases of the words whose frequencies in a hidden position are guessed; shorter where a position has fewer bases."""


@dataclass(frozen=True, slots=True)
class Hiding:
    """These settings for networks whose positions have `cell` bases."""

    settings: MaskingSettings
    cell: int

    @property
    def word(self) -> int:
        """Bases of the words that are asked for."""
        return min(self.settings.word, self.cell)


def hide_spans(codes: np.ndarray, rng: np.random.Generator, settings: MaskingSettings, cell: int) -> np.ndarray:
    """Which bases of a record are hidden: bool [length].

    The record is cut into cells, runs of `settings.span` cells are counted from a random place, and a share of the runs is drawn: at least one, and never
    all where there are two cells.

    Args:
        codes: uint8 [length].
        cell: bases of a position of the network.
    """
    cells = -(-len(codes) // cell)
    span = min(settings.span, -(-cells // 2))
    run = (np.arange(cells) + rng.integers(span)) // span
    runs = int(run[-1]) + 1
    wanted = int(np.clip(round(runs * settings.share), 1, max(1, runs - 1)))
    hidden = np.isin(run, rng.permutation(runs)[:wanted])
    return np.repeat(hidden, cell)[: len(codes)]


def without_hidden(codes: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """What the network is shown: uint8 [length], for `codes` uint8 [length] and `hidden` bool [length]."""
    return np.where(hidden, np.uint8(OTHER), codes)


def hidden_words(codes: np.ndarray, hidden: np.ndarray, word: int, width: int) -> np.ndarray:
    """The words that are hidden whole, at the base that they start with: int64 [width], -1 where there is none.

    Args:
        codes: uint8 [length], the record as it is; a word with a letter other than A, C, G, T is not asked for.
        hidden: bool [length].
        width: places to fill; words that start beyond it are left out.
    """
    kept = without_hidden(codes, ~hidden)
    found = np.where(valid_kmers(kept, word), kmer_codes(kept, word).astype(np.int64), -1)[:width]
    return np.pad(found, (0, width - len(found)), constant_values=-1)
