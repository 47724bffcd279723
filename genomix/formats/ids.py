"""Records without an id: what is said of them can't be joined to their file again."""

import logging

from genomix.formats.opening import display_name
from genomix.records import SequenceRecord

_log = logging.getLogger(__name__)


class IdWatch:
    """Counts the records without an id that pass."""

    def __init__(self) -> None:
        self._count, self._first = 0, ""

    def add(self, record: SequenceRecord) -> None:
        if record.id:
            return
        self._count += 1
        self._first = self._first or f"record {record.ordinal:,} of {display_name(record.source)}"

    def warn(self) -> None:
        """One warning, where there are any."""
        if self._count:
            first = self._first if self._count == 1 else f"{self._count:,} records, the first {self._first},"
            _log.warning(
                "%s %s no id (a name right behind the '>'): only its place tells which one is meant",
                first,
                "has" if self._count == 1 else "have",
            )
