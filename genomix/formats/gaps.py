"""Gaps of an alignment (`-` and `.`) among the letters read: they stay, as unknown bases, and are told."""

import logging

from genomix.formats.opening import display_name
from genomix.records import SequenceRecord

_log = logging.getLogger(__name__)

_GAPS = b"-."
_MANY = 0.01
"""The part of a file's letters from which on its gaps are told. An assembly has a few; an aligned file has many."""


class GapWatch:
    """Counts the gaps of the records that pass, file by file."""

    def __init__(self) -> None:
        self._letters: dict[str, int] = {}
        self._gaps: dict[str, int] = {}

    def add(self, record: SequenceRecord) -> None:
        sequence, source = record.sequence, record.source
        self._letters[source] = self._letters.get(source, 0) + len(sequence)
        if b"-" in sequence or b"." in sequence:  # finding none is far faster than counting none
            self._gaps[source] = self._gaps.get(source, 0) + len(sequence) - len(sequence.translate(None, _GAPS))

    def warn(self) -> None:
        """One warning, where a file has many."""
        shares = {source: gaps / self._letters[source] for source, gaps in self._gaps.items()}
        many = sorted((source for source, share in shares.items() if share > _MANY), key=shares.__getitem__, reverse=True)
        if many:
            more = f" (and more than {100 * _MANY:g} % in {len(many) - 1:,} other file{'s' * (len(many) > 2)})" if len(many) > 1 else ""
            _log.warning(
                "%s: %.1f %% of the letters are gaps, '-' or '.', as in an alignment%s; they are read as unknown bases, count in lengths, and hide "
                "near-duplicates: remove them first (seqkit seq -g)",
                display_name(many[0]),
                100 * shares[many[0]],
                more,
            )
