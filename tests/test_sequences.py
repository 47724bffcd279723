"""Compiled code and numpy do the same: pieces of FASTA, and small hashes. And reading in blocks gives what reading at once gives."""

import io

import numpy as np
import pytest
from Bio.SeqIO.FastaIO import SimpleFastaParser
from hypothesis import given
from hypothesis import strategies as st

from genomix.data.kmer_hashes import K, KmerHasher, reference_hashes
from genomix.errors import DataError
from genomix.formats import fasta, letters, open_records
from genomix.native.sequences import library
from genomix.records import OTHER, encode_bases

needs_compiler = pytest.mark.skipif(library() is None, reason="no C compiler")

_TEXT = st.lists(
    st.sampled_from([b"\n", b"\n>", b">", b"x y", b"ACGT", b"acgtu", b"NRY-.", b" ", b"\t", b"E", b"\0", b"ACGTTGCA" * 700]), max_size=40
)


@needs_compiler
@given(parts=_TEXT, line_start=st.booleans())
def test_a_piece_of_fasta(parts, line_start):
    text = b"".join(parts)
    fast, slow = letters.Scanner().scan(text, line_start=line_start), letters.scan_with_numpy(text, line_start=line_start)
    assert fast.headers == slow.headers
    assert fast.letters.tobytes() == slow.letters.tobytes()
    assert fast.codes.tobytes() == slow.codes.tobytes()
    assert max(fast.highest, 3) == max(slow.highest, 3)


@needs_compiler
def test_a_piece_with_more_headers_than_there_is_room_for():
    text = b">\n" * 40_000
    assert len(letters.Scanner().scan(text, line_start=True).headers) == 40_000


@needs_compiler
@pytest.mark.parametrize("length", [0, 1, K - 1, K, K + 1, 4095 + K, 4096 + K, 20_000])
@pytest.mark.parametrize("limit", [0, 1 << 16, 2**32 // 50, 2**32 - 1])
@pytest.mark.parametrize("unknown", [0, 30])
def test_small_hashes(length, limit, unknown):
    rng = np.random.default_rng(length)
    codes = rng.integers(0, 4, length, dtype=np.uint8)
    codes[rng.integers(0, max(length, 1), unknown if length else 0)] = OTHER
    places, hashes = KmerHasher().small_hashes(codes, limit)
    expected = KmerHasher().small_hashes_with_numpy(codes, limit)
    assert (places.tolist(), hashes.tolist()) == tuple(part.tolist() for part in expected)
    assert np.array_equal(hashes, reference_hashes(codes)[places])


@needs_compiler
def test_a_sequence_that_repeats_itself_has_more_small_hashes_than_room_is_made_for():
    codes = np.tile(np.arange(4, dtype=np.uint8), 5_000)
    limit = int(reference_hashes(codes).min())
    places, _ = KmerHasher().small_hashes(codes, limit)
    assert len(places) > 2 * 1024
    assert places.tolist() == KmerHasher().small_hashes_with_numpy(codes, limit)[0].tolist()


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("block", [1, 2, 3, 7, 64, 1 << 18])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_blocks_of_any_size_give_what_biopython_reads(tmp_path, monkeypatch, native, block, line_end):
    monkeypatch.setattr(fasta, "_BLOCK_BYTES", block)
    if not native:
        monkeypatch.setattr(letters, "library", lambda: None)
    text = ">a first\nACGT\nAC GT\n\n>\n>b\nNNNN\tacgu\n> spaced\nAC\u00a0\nGT \x1c\n>c é\n" + "ACGT" * 50 + "\nAC\u2003\n>last"
    path = tmp_path / "x.fa"
    path.write_bytes(text.replace("\n", line_end).encode())
    expected = [letters_.replace("\t", "").encode() for _, letters_ in SimpleFastaParser(io.StringIO(text))]
    found = list(open_records(str(path)))
    assert [record.sequence for record in found] == expected
    assert [record.codes for record in found] == [encode_bases(sequence) for sequence in expected]
    assert [(record.id, record.description) for record in found] == [
        ("a", "first"),
        ("", ""),
        ("b", ""),
        ("", "spaced"),
        ("c", "é"),
        ("last", ""),
    ]


@pytest.mark.parametrize("block", [1, 5, 1 << 18])
def test_a_foreign_letter_anywhere_in_the_blocks_is_named_with_its_line(tmp_path, monkeypatch, block):
    monkeypatch.setattr(fasta, "_BLOCK_BYTES", block)
    path = tmp_path / "x.fa"
    path.write_bytes(b">a\nACGT\n>b x\nACGT\nAC>GT\nACGT\n")
    records = open_records(str(path))
    assert next(records).sequence == b"ACGT"
    with pytest.raises(DataError, match=r"line 5, record 2 \('b'\): found '>'"):
        next(records)
