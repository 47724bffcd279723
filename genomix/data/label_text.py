"""How a label is written, and several in a row: one class must not become two because it was typed on two machines, or copied from a web page."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

_BETWEEN = re.compile(r"[,;|/+&]")
_NO_VALUE = frozenset(("na", "nan", "n/a", "#n/a", "<na>", "none", "null"))


def tidy(label: str) -> str:
    """Without white space of any kind around it, letters with marks in one piece (NFC): a Mac takes the names of folders apart (NFD)."""
    label = label.strip()
    return label if label.isascii() else unicodedata.normalize("NFC", label)


def look_alikes(labels: Iterable[str]) -> list[list[str]]:
    """The labels that differ in case, in kinds of white space, or in forms of a letter alone; each such set sorted, and the sets too."""
    alike = defaultdict(set)
    for label in labels:
        alike[_folded(label)].add(label)
    return sorted(sorted(same) for same in alike.values() if len(same) > 1)


def made_of_others(labels: Iterable[str]) -> list[str]:
    """The labels that are several of the others, or one of them several times, in one cell (`A,B`); sorted."""
    known = set(labels)
    parts = ((label, [part.strip() for part in _BETWEEN.split(label)]) for label in known)
    return sorted(label for label, names in parts if len(names) > 1 and known.issuperset(names))


def means_nothing(label: str) -> bool:
    """Whether a label is what R, pandas or a spreadsheet write for a value that is not there. It may be a real name all the same."""
    return label.casefold() in _NO_VALUE


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def _folded(label: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold()).split())
