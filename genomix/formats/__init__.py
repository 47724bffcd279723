"""Bytes on disk -> sequence records. A format is a reader listed in `FORMATS`; it is told from the content, never from the file's name.

Order of one reading: open (`opening`: compression) -> find the first line that is not blank (`sequence_file`) -> recognise the format (here) ->
the format's own reader, which checks every letter.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from genomix.errors import DataError
from genomix.formats import fasta, fastq, genbank
from genomix.formats.gaps import GapWatch
from genomix.formats.ids import IdWatch
from genomix.formats.intervals import CLASS_HINT, IntervalInfo, interval_records
from genomix.formats.opening import display_name, require_readable
from genomix.formats.sequence_file import SequenceFile, open_sequence_file, preview
from genomix.formats.suffixes import COMPRESSION_SUFFIXES, SEQUENCE_SUFFIXES, has_sequence_suffix, without_suffixes
from genomix.formats.topology import TopologyWatch
from genomix.formats.watches import watched
from genomix.records import SequenceRecord

__all__ = [
    "CLASS_HINT",
    "COMPRESSION_SUFFIXES",
    "FORMATS",
    "SEQUENCE_SUFFIXES",
    "GapWatch",
    "IdWatch",
    "IntervalInfo",
    "TopologyWatch",
    "has_sequence_suffix",
    "interval_records",
    "open_records",
    "require_readable",
    "watched",
    "without_suffixes",
]


class Format(NamedTuple):
    recognises: Callable[[bytes], bool]
    read: Callable[[SequenceFile], Iterator[SequenceRecord]]


FORMATS = {
    "FASTA": Format(fasta.recognises, fasta.read),
    "FASTQ": Format(fastq.recognises, fastq.read),
    "GenBank": Format(genbank.recognises_genbank, genbank.read_genbank),
    "EMBL": Format(genbank.recognises_embl, genbank.read_embl),
}

# What users hand over by mistake: first bytes, what it is, what to do. Looked up before FORMATS, as SAM begins like FASTQ.
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive", "unzip it first"),
    (b"BAM\x01", "a BAM alignment", "samtools fasta makes FASTA of it"),
    (b"CRAM", "a CRAM alignment", "samtools fasta makes FASTA of it"),
    (b"@HD\t", "a SAM alignment", "samtools fasta makes FASTA of it"),
    (b"@SQ\t", "a SAM alignment", "samtools fasta makes FASTA of it"),
    (b"@RG\t", "a SAM alignment", "samtools fasta makes FASTA of it"),
    (b"@PG\t", "a SAM alignment", "samtools fasta makes FASTA of it"),
    (b"@CO\t", "a SAM alignment", "samtools fasta makes FASTA of it"),
    (b"##gff", "a GFF table", "give the FASTA that it describes"),
    (b"<", "a web page or XML", "download the FASTA itself"),
    (b"\xff\xfe", "UTF-16 text", "save it as plain text (UTF-8)"),
    (b"\xfe\xff", "UTF-16 text", "save it as plain text (UTF-8)"),
)
_NOT_IN_TEXT = bytes(set(range(32)) - set(b"\t\n\v\f\r"))


def open_records(path: str) -> Iterator[SequenceRecord]:
    """Stream the records of a FASTA, FASTQ, GenBank or EMBL file, in file order; memory is bounded by the longest record.

    Plain, gzip, bgzip, bzip2, xz or zstd; any line ends; `-` is standard input. Empty ids and empty sequences are records too. The input is opened at the
    first record asked for, and closed after the last one.

    Raises:
        InputMissing: no such file, a folder, not readable.
        DataError: no records, another kind of file, a letter that is no nucleotide code, a broken record, damaged compression.
    """
    with open_sequence_file(path) as file:
        yield from _reader(file)(file)


def _reader(file: SequenceFile) -> Callable[[SequenceFile], Iterator[SequenceRecord]]:
    if not file.head:
        raise DataError("no records: the input is empty or blank", where=display_name(file.path))
    for start, name, hint in _FOREIGN:
        if file.head.startswith(start):
            raise DataError(f"found {name}, expected {_expected()}", where=display_name(file.path), hint=hint)
    for candidate in FORMATS.values():
        if candidate.recognises(file.head):
            return candidate.read
    raise _unrecognised(file)


def _unrecognised(file: SequenceFile) -> DataError:
    where = display_name(file.path)
    if file.head[:1024].translate(None, _NOT_IN_TEXT) != file.head[:1024]:
        return DataError(f"found binary data, expected {_expected()}", where=where)
    line = file.head.splitlines()[0].decode("utf-8", "replace")
    where = f"{where}, line {file.first_line}"
    if b"\n>" in file.head or b"\r>" in file.head:
        return DataError(f"found {preview(line)!r} before the first '>'", where=where, hint="remove all lines before it")
    hint = "FASTA begins with '>', FASTQ with '@', GenBank with LOCUS, EMBL with ID"
    if re.match(r"[^\t]+\t\d+\t\d+(\t|$)", line):
        hint = f"a BED table? --intervals takes it, with the --genome that it is of; {CLASS_HINT}"
    return DataError(f"found {preview(line)!r}, expected {_expected()}", where=where, hint=hint)


def _expected() -> str:
    *others, last = FORMATS
    return f"{', '.join(others)} or {last}"
