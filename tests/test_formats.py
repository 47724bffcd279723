"""Every format in every compression gives the same records; the corner cases that files from other hands hold."""

import gzip
import io
import lzma
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sequence_files import COMPRESSIONS, EXAMPLES, FASTA, GENBANK, RECORDS, written, zstd

from genomix.formats import FORMATS, has_sequence_suffix, open_records, without_suffixes
from genomix.records import NUCLEOTIDE_LETTERS, SequenceRecord


def contents(path: str | Path) -> list[tuple[str, str, bytes, int]]:
    return [(record.id, record.description, record.sequence, record.ordinal) for record in open_records(str(path))]


def test_every_format_has_an_example():
    assert set(EXAMPLES) == set(FORMATS)


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["unix", "dos", "mac"])
@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_the_same_records_from_every_format_compression_and_line_end(tmp_path, text, line_end, compress):
    path = written(tmp_path, compress(text.replace("\n", line_end).encode()))
    assert contents(path) == RECORDS


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_standard_input_is_read_like_a_file_and_stays_open(monkeypatch, text, compress):
    stdin = io.TextIOWrapper(io.BytesIO(compress(text.encode())))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert contents("-") == RECORDS
    assert not stdin.closed
    assert not stdin.buffer.closed


def test_a_real_standard_input_is_read():
    program = "from genomix.formats import open_records; print([(r.id, len(r.sequence), r.source) for r in open_records('-')])"
    answer = subprocess.run([sys.executable, "-c", program], input=gzip.compress(FASTA.encode()), capture_output=True, check=True)
    assert answer.stdout.decode().strip() == "[('s1', 14, '-'), ('s2', 14, '-')]"


def test_a_named_pipe_is_opened_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(FASTA.encode()),))
    writer.start()
    assert contents(pipe) == RECORDS
    writer.join()


@pytest.mark.parametrize("name", ["x.gz", "x.txt", "x.zst", "no_ending", "x.fastq"])
@pytest.mark.parametrize("compress", [bytes, lzma.compress], ids=["plain", "xz"])
def test_the_name_of_a_file_says_nothing(tmp_path, name, compress):
    assert contents(written(tmp_path, compress(FASTA.encode()), name)) == RECORDS


def test_a_record_names_its_file_as_the_user_did(tmp_path, monkeypatch):
    written(tmp_path, FASTA.encode(), "x.fa")
    monkeypatch.chdir(tmp_path)
    first = next(open_records("x.fa"))
    assert first == SequenceRecord("s1", "first one", b"ACGTACGTACGTNN", "x.fa", 1)


def test_two_compressed_files_put_together_are_one(tmp_path):
    half = len(FASTA) // 2
    for compress in (gzip.compress, lzma.compress, zstd, COMPRESSIONS["bzip2"]):
        both = compress(FASTA[:half].encode()) + compress(FASTA[half:].encode())
        assert contents(written(tmp_path, both)) == RECORDS


@pytest.mark.parametrize(
    ("text", "records"),
    [
        (b">a\nACGT", [("a", "", b"ACGT")]),
        (b"\n \r\n\n>a\nAC\n", [("a", "", b"AC")]),
        (b"\xef\xbb\xbf>a\nAC\n", [("a", "", b"AC")]),
        (b">a\n\nAC\n\n\nGT\n\n", [("a", "", b"ACGT")]),
        (b">a\nAC GT\tA\n", [("a", "", b"ACGTA")]),
        (b">a\nacgtn\n", [("a", "", b"acgtn")]),
        (b">a\nACXXgtx\n", [("a", "", b"ACXXgtx")]),
        (b">a b\rc\nAC\rGT\n>d\rAC\nG\n", [("a", "b c", b"ACGT"), ("d", "AC", b"G")]),
        (b">a\nAC--GT..U\n", [("a", "", b"AC--GT..U")]),
        (b">\nAC\n> x y\nGG\n>\n", [("", "", b"AC"), ("", "x y", b"GG"), ("", "", b"")]),
        (b">a\n>b\nA\n>c", [("a", "", b""), ("b", "", b"A"), ("c", "", b"")]),
        (b">", [("", "", b"")]),
        (b">a\nA\n>a\nC\n", [("a", "", b"A"), ("a", "", b"C")]),
        (b">a\tb  c\td \nA\n", [("a", "b  c\td", b"A")]),
        (b">a >b @c\nA\n", [("a", ">b @c", b"A")]),
        (">é café à\nA\n".encode(), [("é", "café à", b"A")]),
        (">é café à\nA\n".encode("latin-1"), [("é", "café à", b"A")]),
        (b"@a\n\n+\n\n@b\nAC\n+\nII\n\n", [("a", "", b""), ("b", "", b"AC")]),
        (b"@a\nAC\nGT\n+\nII\n@I\n", [("a", "", b"ACGT")]),
    ],
    ids=range(19),
)
def test_odd_files_are_read_right(tmp_path, text, records):
    assert contents(written(tmp_path, text)) == [(*record, ordinal) for ordinal, record in enumerate(records, start=1)]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 18])
@pytest.mark.parametrize(
    ("text", "records"),
    [
        (b">a x\rAC\rGT\r>b\rG\n", [("a", "x", b"ACGT"), ("b", "", b"G")]),
        (b">a\rAC\r>b\rG\r>c\nACGT\n>d y\rT\rT\n", [("a", "", b"AC"), ("b", "", b"G"), ("c", "", b"ACGT"), ("d", "y", b"TT")]),
        (b">c y\rz\nAC\rGT\n>a\rAC\r>b\rG\rG\r", [("c", "y z", b"ACGT"), ("a", "", b"AC"), ("b", "", b"GG")]),
        (b">c\nACGT\r>b\rG\n", [("c", "", b"ACGT"), ("b", "", b"G")]),
        (b">c\r\nACGT\r\n>b\rG\rG", [("c", "", b"ACGT"), ("b", "", b"GG")]),
        (b">a x\r\r\nAC\r\r\n>b\r\r\n", [("a", "x", b"AC"), ("b", "", b"")]),
        (b">a x\ry\n\n \nAC\n", [("a", "x y", b"AC")]),
    ],
    ids=["line feed at the end", "mac and unix", "unix and mac", "unix into mac", "dos and mac", "two before a line feed", "a slip"],
)
def test_carriage_returns_end_lines_however_the_input_comes(tmp_path, monkeypatch, text, records, block):
    monkeypatch.setattr("genomix.formats.fasta._BLOCK_BYTES", block)
    assert contents(written(tmp_path, text)) == [(*record, ordinal) for ordinal, record in enumerate(records, start=1)]


def test_a_long_record_of_a_mac_with_a_line_feed_at_its_end(tmp_path):
    assert contents(written(tmp_path, b">a\r" + b"ACGTN\r" * 20_000 + b"A\n")) == [("a", "", b"ACGTN" * 20_000 + b"A", 1)]


def test_a_line_of_five_million_bases_and_one_of_many_blanks(tmp_path):
    text = b"\n" * 300_000 + b">long\n" + b"ACGTN" * 1_000_000 + b"\n>short\nA\n"
    assert [(r.id, len(r.sequence)) for r in open_records(str(written(tmp_path, text)))] == [("long", 5_000_000), ("short", 1)]


def test_the_lines_about_a_genbank_release_are_stepped_over(tmp_path):
    preamble = "GBTST1.SEQ          Genetic Sequence Data Bank\n                          June 15 2024\n\n"
    assert contents(written(tmp_path, (preamble + GENBANK).encode())) == RECORDS


def test_headers_of_genbank_are_text_that_can_be_written_and_a_dot_is_no_accession(tmp_path):
    lines = ["LOCUS       plasmid1       14 bp    DNA", "DEFINITION  5 µM café", "ACCESSION   .", "VERSION     ."]
    text = "\n".join([*lines, "ORIGIN", "        1 acgtacgtac gtac", "//", ""])
    (found,) = open_records(str(written(tmp_path, text.encode("latin-1"))))
    assert (found.id, found.description) == ("plasmid1", "5 µM café")


EMBL_NOTES = "OS   Homo sapiens (human)\nOC   Eukaryota; Metazoa;\nOC   Chordata.\n"
GENBANK_NOTES = "SOURCE      human\n  ORGANISM  Homo sapiens\n            Eukaryota; Metazoa;\n            Chordata.\n"


@pytest.mark.parametrize(
    ("text", "organism"),
    [
        (f"LOCUS       S1                        14 bp    DNA     circular PRI 01-JAN-1980\n{GENBANK_NOTES}ORIGIN\n", "Homo sapiens"),
        (f"ID   S1; SV 1; circular; DNA; STD; HUM; 14 BP.\n{EMBL_NOTES}SQ   Sequence 14 BP;\n", "Homo sapiens (human)"),
    ],
    ids=["GenBank", "EMBL"],
)
def test_organism_lineage_and_topology_of_flat_files(tmp_path, text, organism):
    sequence = "        1 acgtacgtac gtac" if text.startswith("LOCUS") else "     acgtacgtac gtac                14"
    (found,) = open_records(str(written(tmp_path, f"{text}{sequence}\n//\n".encode())))
    assert found.notes == f"[organism={organism}] [taxonomy=Eukaryota;Metazoa;Chordata]"
    assert found.circular is True
    for record in open_records(str(written(tmp_path, GENBANK.encode()))):
        assert (record.notes, record.circular) == ("", False)
    assert next(open_records(str(written(tmp_path, FASTA.encode())))).circular is None


def test_a_warning_of_biopython_is_logged_once_with_its_place(tmp_path, caplog):
    path = written(tmp_path, GENBANK.replace(" 14 bp", " 15 bp").encode())
    assert contents(path) == RECORDS
    assert [entry.getMessage() for entry in caplog.records] == [
        f"{path}, record 1 ('s1'): Expected sequence length 15, found 14 (s1).",
        f"{path}, record 2 ('s2'): Expected sequence length 15, found 14 (s2).",
    ]


def test_reading_stops_halfway_without_leaving_anything_open(tmp_path):
    records = open_records(str(written(tmp_path, gzip.compress(FASTA.encode() * 100_000))))
    assert next(records).id == "s1"
    threads = threading.active_count()
    records.close()
    assert threading.active_count() < threads


letters = st.text(alphabet=NUCLEOTIDE_LETTERS.decode(), max_size=200)
words = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc", "Z"]), min_size=1, max_size=8)
entries = st.lists(st.tuples(words, words, letters, st.integers(1, 90)), min_size=1, max_size=5)


@given(entries, st.sampled_from(sorted(COMPRESSIONS)), st.sampled_from(["\n", "\r\n", "\r"]))
def test_fasta_that_is_written_is_read_again(tmp_path_factory, records, compression, line_end):
    text = "".join(
        f">{name} {description}\n" + "".join(f"{sequence[i : i + width]}\n" for i in range(0, len(sequence), width))
        for name, description, sequence, width in records
    )
    path = written(tmp_path_factory.mktemp("round"), COMPRESSIONS[compression](text.replace("\n", line_end).encode()))
    assert contents(path) == [(name, description, sequence.encode(), i) for i, (name, description, sequence, _) in enumerate(records, 1)]


@pytest.mark.parametrize(
    ("name", "is_sequence", "stem"),
    [
        ("a.fa", True, "a"),
        ("b.x.fna.gz", True, "b.x"),
        ("C.FASTA.BGZ", True, "C"),
        ("d.fastq.zst", True, "d"),
        ("e.gbff.xz", True, "e"),
        ("f.embl.bz2", True, "f"),
        ("g.gz", False, "g"),
        ("labels.tsv", False, "labels.tsv"),
        (".hidden.fa", False, ".hidden"),
        ("fasta", False, "fasta"),
    ],
)
def test_names_of_sequence_files(name, is_sequence, stem):
    assert has_sequence_suffix(f"folder/{name}") is is_sequence
    assert without_suffixes(f"folder/{name}") == stem
