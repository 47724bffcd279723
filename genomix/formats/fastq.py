"""FASTQ: the sequences; the qualities are checked for their length and left out."""

from collections.abc import Iterator
from typing import TextIO, cast

from genomix.errors import DataError
from genomix.formats.sequence_file import ForeignLetterError, SequenceFile, nucleotides, split_header
from genomix.records import SequenceRecord


def recognises(head: bytes) -> bool:
    return head.startswith(b"@")


def read(file: SequenceFile) -> Iterator[SequenceRecord]:
    """Raises DataError for a foreign letter (naming the record's first line), a broken or a cut record (naming the line reached)."""
    from Bio.SeqIO.QualityIO import FastqGeneralIterator  # a tenth of a second that FASTA does not need

    lines = _CountedLines(file.text, file.first_line - 1)
    first_line, ordinal = file.first_line, 1
    try:
        for title, letters, _qualities in FastqGeneralIterator(cast(TextIO, lines)):
            identifier, description = split_header(title, file.place(ordinal, line=first_line))
            yield SequenceRecord(identifier, description, nucleotides(letters), file.path, ordinal)
            first_line, ordinal = lines.number, ordinal + 1  # the iterator has read the next record's header
    except ForeignLetterError as error:
        raise error.at(file.place(ordinal, identifier, line=first_line)) from None
    except ValueError as error:
        hint = "was the file cut off? Each record is a header, bases, '+', and as many quality letters as bases"
        raise DataError(f"broken FASTQ: {str(error).rstrip('.')}", where=file.place(ordinal, line=lines.number), hint=hint) from error


class _CountedLines:
    """A text that knows the number of the line read last; as much of a file as Biopython's iterator asks for."""

    def __init__(self, text: TextIO, number: int) -> None:
        self._text = text
        self.number = number

    def read(self, size: int) -> str:
        return self._text.read(size)

    def readline(self) -> str:
        return next(self, "")

    def __iter__(self) -> "_CountedLines":
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self.number += 1
        return line
