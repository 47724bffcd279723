"""FASTA, the format to be fast in: Biopython's plain parser, one check of all letters of a record at once."""

from collections.abc import Iterator

from Bio.SeqIO.FastaIO import SimpleFastaParser

from genomix.formats.sequence_file import ForeignLetterError, SequenceFile, nucleotides, open_sequence_file, split_header
from genomix.records import SequenceRecord


def recognises(head: bytes) -> bool:
    return head.startswith(b">")


def read(file: SequenceFile) -> Iterator[SequenceRecord]:
    """Raises DataError for a letter that is no nucleotide code, naming its line where the file can be read again."""
    for ordinal, (title, letters) in enumerate(SimpleFastaParser(file.text), start=1):
        identifier, description = split_header(title, file.place(ordinal))
        try:
            sequence = nucleotides(letters)
        except ForeignLetterError as error:
            line = _first_foreign_line(file.path) if file.can_reopen else None
            raise error.at(file.place(ordinal, identifier, line=line)) from None
        yield SequenceRecord(identifier, description, sequence, file.path, ordinal)


def _first_foreign_line(path: str) -> int | None:
    """The number of the first sequence line with a foreign letter: a second pass, as counting lines would slow the first one down."""
    with open_sequence_file(path) as file:
        for number, line in enumerate(file.text, start=file.first_line):
            try:
                nucleotides("" if line.startswith(">") else line)
            except ForeignLetterError:
                return number
    return None
