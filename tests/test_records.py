"""Base codes: every letter has one, and the other strand is where biology says."""

from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from genomix.records import BASES, NUCLEOTIDE_LETTERS, OTHER, Prediction, SequenceRecord, decode_bases, encode_bases, reverse_complement

sequences = st.text(alphabet="ACGTN", max_size=100)


def test_every_byte_has_a_code():
    known = {"A": 0, "a": 0, "C": 1, "c": 1, "G": 2, "g": 2, "T": 3, "t": 3, "U": 3, "u": 3}
    assert list(encode_bases(bytes(range(256)))) == [known.get(chr(byte), OTHER) for byte in range(256)]


def test_the_letters_that_are_read():
    iupac = "ACGTU" + "NRYSWKMBDHV" + "X"
    assert set(NUCLEOTIDE_LETTERS.decode()) == set(iupac + iupac.lower() + "-.")


def test_codes_are_places_in_the_bases():
    assert decode_bases(bytes(range(5))) == BASES + "N"
    assert decode_bases(bytes([OTHER, 200])) == "NN"


@given(sequences)
def test_decoding_undoes_encoding(sequence):
    assert decode_bases(encode_bases(sequence.encode())) == sequence


@given(sequences)
def test_the_other_strand_agrees_with_biopython(sequence):
    codes = encode_bases(sequence.encode())
    assert decode_bases(reverse_complement(codes)) == str(Seq(sequence).reverse_complement())
    assert reverse_complement(reverse_complement(codes)) == codes


def test_the_place_of_a_record():
    assert SequenceRecord("x", "", b"", "a.fa", 3).where == "a.fa, record 3 ('x')"
    assert SequenceRecord("", "", b"", "a.fa", 1).where == "a.fa, record 1 (without an id)"


def test_a_prediction_that_never_met_the_network_has_no_probabilities():
    short = Prediction("x", 3, "too_short")
    assert (short.label, short.probability, short.windows, short.probabilities) == ("", None, 0, ())
