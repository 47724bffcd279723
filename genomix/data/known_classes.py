"""Records of a dataset under the classes of a model: their labels as the model numbers them, and what to do with classes that it doesn't know."""

import difflib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from genomix.data.label_text import listed
from genomix.data.store import Dataset
from genomix.errors import DataError

Unknown = Literal["error", "drop"]

_NAMED = 10
_ALIKE = 0.75
"""From here on two names are close enough to ask whether one was meant."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KnownRecords:
    """The records whose class the model knows.

    Attributes:
        indices: of the dataset, int64 [record].
        labels: int64 [record], as the model numbers its classes.
        left_out: class -> records, of those that it does not know.
    """

    indices: np.ndarray
    labels: np.ndarray
    left_out: dict[str, int]

    def figures(self) -> dict[str, Any]:
        """What `metrics.json` says of what was left out."""
        return {"left_out": {"records": sum(self.left_out.values()), "classes": self.left_out}} if self.left_out else {}


def known_records(dataset: Dataset, indices: np.ndarray, classes: Sequence[str], unknown: Unknown) -> KnownRecords:
    """These labelled records under the classes of a model.

    Args:
        unknown: `drop` leaves out the records of other classes, and says how many.

    Raises:
        DataError: there are such records, and they are not to be left out; or there are no others.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    places = np.array([numbers.get(name, -1) for name in dataset.classes])[dataset.label_ids[indices]]
    strangers = Counter(dataset.classes[label] for label in dataset.label_ids[indices][places < 0].tolist())
    left_out = dict(sorted(strangers.items(), key=lambda item: (-item[1], item[0])))
    kept = KnownRecords(indices[places >= 0], places[places >= 0], left_out)
    if not left_out:
        return kept
    named = listed([f"{name!r} ({count:,})" for name, count in left_out.items()], _NAMED)
    told = f"{strangers.total():,} of {len(indices):,} records are of classes that the model does not know: {named}"
    if unknown == "error" or not len(kept.indices):
        raise DataError(told, where=str(dataset.folder), hint=_hint(dataset, left_out, classes, droppable=len(kept.indices) > 0))
    _log.warning("%s; they are left out", told)
    return kept


def _hint(dataset: Dataset, strangers: dict[str, int], classes: Sequence[str], *, droppable: bool) -> str:
    meant = [f"{near!r} for {name!r}" for name, near in islice(_meant(dataset, strangers, classes), _NAMED)]
    guess = f"did you mean {', '.join(meant)}?" if meant else f"the model knows {listed(classes, _NAMED)}"
    return guess + ("; --unknown drop leaves these records out" if droppable else "")


def _meant(dataset: Dataset, strangers: Iterable[str], classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Unknown classes, and for each the model's that was meant: spelt like it but for case, blanks, hyphens and underscores, or nearly so.

    Only of those that the message names it is asked what they nearly are, as that takes a look at every class. The answer is one without records: one that
    has some is not the one misspelt.
    """
    here = frozenset(dataset.classes)
    same = {_plain(each): each for each in reversed(classes)}
    absent = {_plain(each): each for each in reversed(classes) if each not in here}
    for number, name in enumerate(strangers):
        wanted = _plain(name)
        if wanted in same:
            yield name, same[wanted]
        elif number < _NAMED and (near := difflib.get_close_matches(wanted, absent, n=1, cutoff=_ALIKE)):
            yield name, absent[near[0]]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()
