"""Why a label table's ids are in no sequence file: they are often the same ids, written another way."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from genomix.formats.opening import display_name
from genomix.records import SequenceRecord

_NAMED = 3
"""Ids of the sequence files that a hint names."""

_VERSION = re.compile(r"\.\d+$")

_WAYS = {
    "version": "{count:,} would match but for the version: {there!r} in the table, {here!r} in {source}; write both alike",
    "word": "{count:,} would match by their first word: {there!r} in the table, {here!r} in {source}; an id is the header's first word",
}


class NearIds:
    """Looks at every record that the table has no row for.

    Args:
        known: ids of the table.
    """

    def __init__(self, known: Mapping[str, object]) -> None:
        self._known = known
        self._ways: Counter[str] = Counter()
        self._examples: dict[str, dict[str, str]] = {}
        self._first: list[str] = []

    def add(self, record: SequenceRecord) -> None:
        """A record that the table lacks."""
        if len(self._first) < _NAMED and record.id:
            self._first.append(f"{record.id!r} in {display_name(record.source)}")
        bare = _VERSION.sub("", record.id)
        near = [("version", bare if bare in self._known else self._bare.get(record.id)), ("word", self._words.get(record.id))]
        for way, there in near:
            if there is not None:
                self._ways[way] += 1
                self._examples.setdefault(way, {"there": there, "here": record.id, "source": display_name(record.source)})

    def hint(self) -> str:
        """How the ids could be made to match; else what the files' ids look like."""
        if self._ways:
            (way, count), *_ = self._ways.most_common(1)
            return _WAYS[way].format(count=count, **self._examples[way])
        ids = f"; the table lacks {', '.join(self._first)}" if self._first else ""
        return f"an id is the header's first word{ids}"

    @cached_property
    def _bare(self) -> dict[str, str]:
        """Ids of the table without their version -> as they are."""
        return _renamed(self._known, lambda name: _VERSION.sub("", name))

    @cached_property
    def _words(self) -> dict[str, str]:
        """First words of the table's ids, also of whole headers -> the ids."""
        return _renamed(self._known, lambda name: (name.removeprefix(">").split() or [""])[0])


def _renamed(names: Iterable[str], rule: Callable[[str], str]) -> dict[str, str]:
    """Of the names that the rule changes: what it makes of each -> the name."""
    return {short: name for name in names if (short := rule(name)) != name}
