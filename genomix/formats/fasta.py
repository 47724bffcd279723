"""FASTA, the format to be fast in: read in blocks, and a block's letters looked at all at once.

`letters` finds what lies in a block; here records are put together from blocks. One with a letter that is no nucleotide code is read again slowly, as
Biopython's `SimpleFastaParser` reads it: it strips white space that is none in ASCII.
"""

from collections.abc import Iterator

from genomix.formats.carriage_returns import CarriageReturns
from genomix.formats.letters import FOREIGN, SPACE, Block, Scanner
from genomix.formats.sequence_file import ForeignLetterError, SequenceFile, nucleotides, open_sequence_file, split_header
from genomix.records import SequenceRecord, encode_bases

_BLOCK_BYTES = 1 << 18
"""What is made of a block fits the cache."""
_LINE_END = ord("\n")


def recognises(head: bytes) -> bool:
    return head.startswith(b">")


def read(file: SequenceFile) -> Iterator[SequenceRecord]:
    """Raises DataError for a letter that is no nucleotide code, naming its line where the file can be read again, and for line ends that can't be told."""
    records, scanner = _Records(file), Scanner()
    for text, line_start in _texts(file):
        yield from records.add(scanner.scan(text, line_start=line_start))
    yield records.finish()


def _texts(file: SequenceFile) -> Iterator[tuple[bytes, bool]]:
    """The input in pieces, all line ends `\\n`, header lines whole; and whether each begins with a line."""
    line_start, carried, returns = True, b"", CarriageReturns(file)
    while text := file.stream.read1(_BLOCK_BYTES):
        text = carried + text if carried else text
        if b"\r" in text:
            text = returns.replaced(text, line_start=line_start)
        place = text.rfind(b"\n") + 1
        partial_header = text.startswith(b">", place) and (place > 0 or line_start)
        text, carried = (text[:place], text[place:]) if partial_header else (text, b"")
        if text:
            yield text, line_start
            line_start = text[-1] == _LINE_END
    if carried:
        yield carried, True


class _Records:
    """Puts records together from blocks."""

    def __init__(self, file: SequenceFile) -> None:
        self._file = file
        self._ordinal = 0
        self._header = b""
        self._letters: list[bytes] = []
        self._codes: list[bytes] = []
        self._odd: list[bytes] = []
        """The record's text from the block on in which a foreign letter stands."""

    def add(self, block: Block) -> Iterator[SequenceRecord]:
        """The records that end in a block."""
        place = first = 0
        for start, stop, last in block.headers:
            if self._ordinal:
                self._extend(block, (place, start), (first, last))
                yield self.finish()
            self._ordinal += 1
            self._header, place, first = block.text[start + 1 : stop], stop, last
        self._extend(block, (place, len(block.text)), (first, len(block.letters)))

    def _extend(self, block: Block, span: tuple[int, int], part: tuple[int, int]) -> None:
        """More of the record, by its span in the text and by its letters."""
        letters, codes = block.letters[part[0] : part[1]], block.codes[part[0] : part[1]]
        if block.highest >= SPACE or self._odd:
            if self._odd or codes.max(initial=0) == FOREIGN:
                self._odd.append(block.text[span[0] : span[1]])
                return
            bases = codes != SPACE
            letters, codes = letters[bases], codes[bases]
        self._letters.append(letters.tobytes())
        self._codes.append(codes.tobytes())

    def finish(self) -> SequenceRecord:
        """The record that all was for since its header."""
        file, ordinal = self._file, self._ordinal
        title = self._header.decode("utf-8", "surrogateescape").rstrip()
        identifier, description = split_header(title, file.place(ordinal) if "\0" in title else "")
        if self._odd:
            self._add_odd(identifier)
        letters, codes = _joined(self._letters), _joined(self._codes)
        self._letters, self._codes = [], []
        return SequenceRecord(identifier, description, letters, file.path, ordinal, codes)

    def _add_odd(self, identifier: str) -> None:
        text = b"".join(self._odd).decode("utf-8", "surrogateescape")
        try:
            sequence = nucleotides("".join(line.rstrip() for line in text.split("\n")))
        except ForeignLetterError as error:
            line = _first_foreign_line(self._file.path) if self._file.can_reopen else None
            raise error.at(self._file.place(self._ordinal, identifier, line=line)) from None
        self._odd = []
        self._letters.append(sequence)
        self._codes.append(encode_bases(sequence))


def _joined(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _first_foreign_line(path: str) -> int | None:
    """The number of the first sequence line with a foreign letter: a second pass, as counting lines would slow the first one down."""
    with open_sequence_file(path) as file:
        for number, line in enumerate(file.text, start=file.first_line):
            try:
                nucleotides("" if line.startswith(">") else line)
            except ForeignLetterError:
                return number
    return None
