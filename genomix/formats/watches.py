"""Looking at records as they pass, for a warning after the last one."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from genomix.records import SequenceRecord


class Watch(Protocol):
    """What a reader is told of once, of all records."""

    def add(self, record: SequenceRecord) -> None:
        """Look at the next record."""
        ...

    def warn(self) -> None:
        """Say what was found, where it is worth a warning."""
        ...


def watched(records: Iterable[SequenceRecord], *watches: Watch) -> Iterator[SequenceRecord]:
    """The same records; the warnings come after the last one."""
    for record in records:
        for watch in watches:
            watch.add(record)
        yield record
    for watch in watches:
        watch.warn()
