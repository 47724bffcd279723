"""Intervals of a genome as records: a BED table says which, pyfaidx cuts them out of the FASTA."""

import difflib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genomix.errors import DataError
from genomix.formats.genome import open_genome
from genomix.formats.genome_index import bases
from genomix.formats.opening import display_name, open_bytes
from genomix.formats.sequence_file import ForeignLetterError, nucleotides, printable
from genomix.records import SequenceRecord

if TYPE_CHECKING:
    from pyfaidx import Fasta

CLASS_HINT = "column 4 holds the class (enhancer, promoter); all regions stand in one BED file"
_DISPLAY_LINES = {"track", "browser"}  # what they say is for genome browsers
_COMPLEMENT = bytes.maketrans(b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv", b"TGCAANYRSWMKVHDBtgcaanyrswmkvhdb")


@dataclass(frozen=True, slots=True)
class IntervalInfo:
    """What a BED line says: the name (column 4, the label), the contig it lies on, and where it starts there, counted from 0."""

    name: str
    contig: str
    start: int


@dataclass(frozen=True, slots=True)
class _Interval:
    contig: str
    start: int
    end: int
    name: str
    strand: str
    where: str


def interval_records(bed: str, genome: str) -> Iterator[tuple[SequenceRecord, IntervalInfo]]:
    """The sequence of every line of a BED table, in its order.

    A record's id is `contig:start-end(strand)` with BED's own numbers: start counted from 0, end not included. The minus strand is reverse-complemented; a
    strand of `.` or none is read forward and written `.`. Columns after the sixth (thick ends, blocks) are left out: an interval is its whole span.

    Args:
        bed: at least 4 columns, contig, start, end, name; the strand is column 6. Any compression; `-` is standard input.
        genome: the path of a FASTA, plain or bgzip; pyfaidx keeps an index beside it, or a temporary one where it can't write.

    Raises:
        InputMissing: a file is missing or can't be read.
        DataError: a line is malformed, or lies outside the genome; a letter is no nucleotide code; there is no interval at all.
    """
    ordinal = 0
    with open_genome(genome) as contigs:
        for ordinal, interval in enumerate(_read_bed(bed), start=1):
            sequence = _cut(contigs, genome, interval)
            name = f"{interval.contig}:{interval.start}-{interval.end}({interval.strand})"
            yield SequenceRecord(name, "", sequence, bed, ordinal), IntervalInfo(interval.name, interval.contig, interval.start)
    if not ordinal:
        raise DataError("no intervals: the table is empty", where=display_name(bed))


def _read_bed(path: str) -> Iterator[_Interval]:
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape") as text:
        for number, line in enumerate(text, start=1):
            words = line.split(None, 1)
            if words and not words[0].startswith("#") and words[0] not in _DISPLAY_LINES:
                yield _parse(printable(line), f"{display_name(path)}, line {number}")


def _parse(line: str, where: str) -> _Interval:
    fields = [field.strip() for field in (line.split("\t") if "\t" in line else line.split())]
    if len(fields) < 4 or not fields[3]:
        found = "an empty name" if len(fields) >= 4 else f"{len(fields)} columns"
        raise DataError(f"found {found}, expected contig, start, end, name", where=where, hint=CLASS_HINT)
    contig, start, end = fields[0], _integer(fields[1], "start", where), _integer(fields[2], "end", where)
    if not 0 <= start < end:
        raise DataError(f"found start {start} and end {end}, expected 0 <= start < end", where=where)
    strand = fields[5] if len(fields) > 5 else "."
    if strand not in {"+", "-", "."}:
        raise DataError(f"found strand {strand!r} in column 6, expected '+', '-' or '.'", where=where)
    return _Interval(contig, start, end, fields[3], strand, where)


def _integer(field: str, column: str, where: str) -> int:
    try:
        return int(field)
    except ValueError:
        hint = "is it a BED table? GFF and GTF have other columns"
        raise DataError(f"found {field!r} as the {column}, expected a whole number", where=where, hint=hint) from None


def _cut(contigs: "Fasta", genome: str, interval: _Interval) -> bytes:
    if interval.contig not in contigs:
        raise _unknown_contig(list(contigs.keys()), genome, interval)
    length = len(contigs[interval.contig])
    if interval.end > length:
        message = f"found end {interval.end}, expected at most {length}, the length of {interval.contig!r} in {genome}"
        raise DataError(message, where=interval.where, hint="do the table and the FASTA belong to one version of the genome?")
    try:
        sequence = nucleotides(bases(contigs, interval.contig, interval.start, interval.end, genome))
    except ForeignLetterError as error:
        raise error.at(f"{interval.where}, in {genome}") from None
    if len(sequence) != interval.end - interval.start:
        hint = f"delete {genome}.fai; it is made anew"
        raise DataError(f"found {len(sequence)} bases in {genome}: its index is of another file", where=interval.where, hint=hint)
    return sequence[::-1].translate(_COMPLEMENT) if interval.strand == "-" else sequence


def _unknown_contig(names: list[str], genome: str, interval: _Interval) -> DataError:
    near = difflib.get_close_matches(interval.contig, names, n=3)
    hint = f"nearest: {', '.join(near)}" if near else f"its first contigs: {', '.join(names[:3])}"
    return DataError(f"found contig {interval.contig!r}, which is not in {genome}", where=interval.where, hint=hint)
