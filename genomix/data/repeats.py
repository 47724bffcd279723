"""Finding the same sequence again. An id may come again: assemblers call the first contig of every sample by one name.

Records of other lengths or other ends are other sequences; only where those agree is a whole sequence digested. So the usual record, which has no double,
costs two slices.
"""

import hashlib
from collections.abc import Callable

from genomix.data.cleaning import CleaningSettings, Refusal
from genomix.data.record_table import RecordTable
from genomix.errors import DataError
from genomix.records import SequenceRecord, reverse_complement

_END = 32
"""Bases of an end."""


class Repeats:
    """Remembers the records kept and compares each new one with them.

    Attributes:
        dropped: record number -> why, for kept records that a later one contradicted.

    Args:
        kept: the table that the caller adds every record to that stays.
        read: record number -> its base codes.
        both_strands: whether a sequence and its reverse complement are the same.
    """

    def __init__(self, kept: RecordTable, read: Callable[[int], bytes], settings: CleaningSettings, *, both_strands: bool) -> None:
        self._kept = kept
        self._drop = settings.conflicts == "drop"
        self._sequences = _Sequences(read, both_strands=both_strands)
        self.dropped: dict[int, Refusal] = {}

    def check(self, record: SequenceRecord, label: str, codes: bytes) -> Refusal | None:
        """Why a record is left out beside those before it; None where it stays, as number `len(kept)`.

        Raises:
            DataError: it has the sequence of a record with another label, and conflicts are errors.
        """
        number = len(self._kept)
        first = self._sequences.first(codes, number)
        if first == number:
            return None
        other = self._kept.labels[first]
        if label == other and first not in self.dropped:
            return "duplicate", f"the same sequence as {self._kept.where(first)}"
        if not self._drop:
            raise DataError(
                f"the same sequence as {self._kept.where(first)}, but label {label!r} here and {other!r} there",
                where=record.where,
                hint="correct the labels, or leave all such records out with --conflicts drop",
            )
        self.dropped.setdefault(first, ("sequence_conflict", f"the same sequence as {record.where}, with label {label!r}"))
        return "sequence_conflict", f"the same sequence as {self._kept.where(first)}, with label {other!r}"


class _Sequences:
    """The number of the first record with each sequence."""

    def __init__(self, read: Callable[[int], bytes], *, both_strands: bool) -> None:
        self._read = read
        self._both_strands = both_strands
        self._by_ends: dict[int, int] = {}
        self._digested: set[int] = set()
        self._by_digest: dict[bytes, int] = {}

    def first(self, codes: bytes, number: int) -> int:
        """The number of the first record with these bases; a new sequence is remembered under `number`."""
        ends = self._ends(codes)
        holder = self._by_ends.setdefault(ends, number)
        if holder == number:
            return number
        if ends not in self._digested:
            self._digested.add(ends)
            self._by_digest[self._digest(self._read(holder))] = holder
        return self._by_digest.setdefault(self._digest(codes), number)

    def _ends(self, codes: bytes) -> int:
        """A number that the same sequences have in common, and others rarely."""
        start, end = codes[:_END], codes[-_END:]
        if self._both_strands:
            start, end = sorted((start, reverse_complement(end)))
        return hash((len(codes), start, end))

    def _digest(self, codes: bytes) -> bytes:
        if self._both_strands:
            codes = min(codes, reverse_complement(codes))
        return hashlib.blake2b(codes, digest_size=16).digest()
