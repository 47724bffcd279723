"""What travels through the program: a sequence record on its way in, a prediction on its way out.

Bases are coded one byte each: A 0, C 1, G 2, T and U 3, anything else 4 (`OTHER`). The code is complement-friendly: the complement of base b < 4 is
3 - b.
"""

from dataclasses import dataclass, field

BASES = "ACGT"
OTHER = 4

NUCLEOTIDE_LETTERS = b"ACGTUNRYSWKMBDHVXacgtunryswkmbdhvx-."
"""Letters that are read: the IUPAC nucleotide codes, X (what RepeatMasker and older programs mask with), and the two gap symbols of an alignment. All but bases
are coded `OTHER`."""


def _code_table() -> bytes:
    table = bytearray([OTHER]) * 256
    for code, letters in enumerate((b"Aa", b"Cc", b"Gg", b"TtUu")):
        for letter in letters:
            table[letter] = code
    return bytes(table)


_CODES = _code_table()
_COMPLEMENT = bytes([3, 2, 1, 0, OTHER, *range(5, 256)])
_LETTERS = b"ACGTN" + bytes([ord("N")]) * 251


@dataclass(frozen=True, slots=True)
class SequenceRecord:
    """One sequence as a file gives it.

    Attributes:
        id: the header's first word; empty where the file gives none.
        description: the rest of the header.
        sequence: the letters as ASCII, white space removed, case kept.
        source: the file it came from, as the user named it.
        ordinal: its place in that file, from 1.
        known_codes: the base codes of `sequence`, where its reader has them already; ask `codes`, which always has them.
        notes: what the file says beside the header, as `[organism=Homo sapiens] [taxonomy=Eukaryota;Metazoa]`; GenBank and EMBL alone.
        circular: what the file says of the molecule; None where it says nothing.
    """

    id: str
    description: str
    sequence: bytes
    source: str
    ordinal: int
    known_codes: bytes | None = field(default=None, compare=False, repr=False)
    notes: str = field(default="", compare=False)
    circular: bool | None = field(default=None, compare=False)

    @property
    def codes(self) -> bytes:
        """The base codes of `sequence`."""
        return encode_bases(self.sequence) if self.known_codes is None else self.known_codes

    @property
    def where(self) -> str:
        """The place to name in an error."""
        name = repr(self.id) if self.id else "without an id"
        return f"{self.source}, record {self.ordinal} ({name})"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one input record. `probabilities` is empty unless the record went through the network.

    Attributes:
        status: `classified`, `unclassified` (no class reached the threshold, the set of labels is not one label, or the record is too novel), `too_short`
            or `too_ambiguous`.
        label: the predicted class, or a node above it where labels have ranks; empty unless classified.
        probability: of the label; where there is none of the most probable class or, where labels have ranks, of the most probable node of the first rank.
        margin: that probability less the highest of the others'.
        rank: levels of the label, where the model's labels have ranks; None without a label.
        strand_agreement: 1 minus the total variation distance of the two strands' probabilities: 1 is the same answer on both, 0 none in common; None with
            one strand.
        windows: how many windows the record was cut into; 1 is whole.
        labels: the set that holds the true class at the promised error rate, the most probable first; None where no error rate was given.
        novelty: part of the validation records that are nearer to the training records; None where the model does not know.
    """

    id: str
    length: int
    status: str
    label: str = ""
    probability: float | None = None
    margin: float | None = None
    strand_agreement: float | None = None
    windows: int = 0
    probabilities: tuple[float, ...] = ()
    rank: int | None = None
    labels: tuple[str, ...] | None = None
    novelty: float | None = None


def encode_bases(sequence: bytes) -> bytes:
    """ASCII letters -> base codes, one byte a base."""
    return sequence.translate(_CODES)


def decode_bases(codes: bytes) -> str:
    """Base codes -> `ACGTN` letters."""
    return codes.translate(_LETTERS).decode("ascii")


def reverse_complement(codes: bytes) -> bytes:
    """The other strand of base codes, read 5' to 3'."""
    return codes[::-1].translate(_COMPLEMENT)
