"""What files say of their molecules, circular or linear, against what they are taken for: one warning where the two differ."""

import logging

from genomix.records import SequenceRecord

_log = logging.getLogger(__name__)


class TopologyWatch:
    """Counts the records that pass, and those whose file calls their molecules something else.

    Args:
        circular: what all of them are taken for.
        because: ends the warning, after `taken as circular` or `taken as linear`.
    """

    def __init__(self, *, circular: bool, because: str) -> None:
        self._circular, self._because = circular, because
        self._records = self._others = 0

    def add(self, record: SequenceRecord) -> None:
        self._records += 1
        self._others += record.circular not in (None, self._circular)

    def warn(self) -> None:
        """One warning, where there are others."""
        if not self._others:
            return
        said, taken = ("linear", "circular") if self._circular else ("circular", "linear")
        _log.warning(
            "%s of %s records are %s, as their file says (LOCUS or ID), and are taken as %s%s",
            f"{self._others:,}",
            f"{self._records:,}",
            said,
            taken,
            self._because,
        )
