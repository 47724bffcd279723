"""Every bad input ends in one error that names the place, what was found and what was expected: the exact words, as a user sees them."""

import bz2
import gzip
import io
import lzma
import os
import random
import sys

import pytest
from sequence_files import EMBL, FASTA, GENBANK, bgzip, written, zstd

from genomix.errors import DataError, InputMissing
from genomix.formats import open_records
from genomix.formats.opening import open_bytes

LETTERS = "genomix reads nucleotides: ACGTU, NRYSWKMBDHV, X, and the gaps '-' and '.'"
PROTEIN = f"protein FASTA? {LETTERS}"
FORMATS = "expected FASTA, FASTQ, GenBank or EMBL"
BEGINNINGS = "FASTA begins with '>', FASTQ with '@', GenBank with LOCUS, EMBL with ID"
FASTQ_HINT = "was the file cut off? Each record is a header, bases, '+', and as many quality letters as bases"
LOCUS = "it reads LOCUS, name, length, bp, blanks between; does a long name run into the length? shorten it (prokka --compliant), or give the FASTA"
FULL = "download records in full: 'GenBank (full)' at NCBI, efetch -format gbwithparts, not those that only name their contigs"
CUT = "was the file cut off, or edited by hand?"
CONTIGS = GENBANK[: GENBANK.index("ORIGIN")] + "CONTIG      join(X1.1:1..14)\n//\n"
GOOD_READ = b"@a\nACGT\n+\nIIII\n"

BAD_CONTENT = {
    "empty": (b"", "{path}: no records: the input is empty or blank", None),
    "blank": (b"\n \n\r\n", "{path}: no records: the input is empty or blank", None),
    "protein": (
        b">a\nACGT\n>p1 some\nACGT\n\nMKLV\n",
        "{path}, line 6, record 2 ('p1'): found 'L', expected an IUPAC nucleotide code",
        PROTEIN,
    ),
    "star": (b"\n\n>a\r\nACGT\r\nAC*\r\n", "{path}, line 5, record 1 ('a'): found '*', expected an IUPAC nucleotide code", PROTEIN),
    "digit": (b">a\n1 ACGT\n", "{path}, line 2, record 1 ('a'): found '1', expected an IUPAC nucleotide code", LETTERS),
    "comment inside": (b">a\nAC\n;no\nGT\n", "{path}, line 3, record 1 ('a'): found ';', expected an IUPAC nucleotide code", LETTERS),
    "nul inside": (b">a\nAC\0GT\n", "{path}, line 2, record 1 ('a'): found '\\x00', expected an IUPAC nucleotide code", LETTERS),
    "no ascii": (">a\nACé\n".encode(), "{path}, line 2, record 1 ('a'): found 'é', expected an IUPAC nucleotide code", LETTERS),
    "latin-1": (b">a\nAC\xe9\n", "{path}, line 2, record 1 ('a'): found 'é', expected an IUPAC nucleotide code", LETTERS),
    "nameless": (b">\nAC!\n", "{path}, line 2, record 1: found '!', expected an IUPAC nucleotide code", LETTERS),
    "mac": (b">a\rACGT\rAC*\r", "{path}, line 3, record 1 ('a'): found '*', expected an IUPAC nucleotide code", PROTEIN),
    "a carriage return and no sequence": (
        b">a\nAC\n>b x\rACGT\n\n>c\nGT\n",
        "{path}: found a carriage return after '>b x' and no line of sequence below, expected line ends of one kind",
        "tr '\\r' '\\n' < OLD > NEW makes all of them ends of lines",
    ),
    "a carriage return in the last header": (
        b">b\rACGT\n",
        "{path}: found a carriage return after '>b' and no line of sequence below, expected line ends of one kind",
        "tr '\\r' '\\n' < OLD > NEW makes all of them ends of lines",
    ),
    "nul in header": (
        b">a\nA\n>a\0b\nA\n",
        "{path}, record 2: found a NUL byte in a header",
        "the file is damaged; copy or download it again",
    ),
    "text first": (
        b"\n\nsequences of 2024, made by a program that talks too much\n>a\nAC\n",
        "{path}, line 3: found 'sequences of 2024, made by a program tha...' before the first '>'",
        "remove all lines before it",
    ),
    "comment first": (b"; old\n>a\nAC\n", "{path}, line 1: found '; old' before the first '>'", "remove all lines before it"),
    "a table": (b"id\tlabel\n", "{path}, line 1: found 'id\\tlabel', " + FORMATS, BEGINNINGS),
    "binary": (random.Random(1).randbytes(3000), "{path}: found binary data, " + FORMATS, None),
    "utf-16": (">a\nAC\n".encode("utf-16"), "{path}: found UTF-16 text, " + FORMATS, "save it as plain text (UTF-8)"),
    "zip": (b"PK\x03\x04abc", "{path}: found a zip archive, " + FORMATS, "unzip it first"),
    "bam": (bgzip(b"BAM\x01abc"), "{path}: found a BAM alignment, " + FORMATS, "samtools fasta makes FASTA of it"),
    "sam": (b"@SQ\tSN:a\tLN:4\n", "{path}: found a SAM alignment, " + FORMATS, "samtools fasta makes FASTA of it"),
    **{
        f"sam {tag.decode()}": (b"@" + tag + b"\tx\n", "{path}: found a SAM alignment, " + FORMATS, "samtools fasta makes FASTA of it")
        for tag in (b"HD", b"RG", b"PG", b"CO")
    },
    "html": (b"<!DOCTYPE html>", "{path}: found a web page or XML, " + FORMATS, "download the FASTA itself"),
    "quality short": (
        GOOD_READ + b"@b\nACGT\n+\nIII\n",
        "{path}, line 8, record 2: broken FASTQ: Lengths of sequence and quality values differs for b (4 and 3)",
        FASTQ_HINT,
    ),
    "quality long": (
        b"\n@b\nACGT\n+\nIIIII\n" + GOOD_READ,
        "{path}, line 6, record 1: broken FASTQ: Lengths of sequence and quality values differs for b (4 and 5)",
        FASTQ_HINT,
    ),
    "fastq cut in bases": (
        GOOD_READ + b"@b\nAC",
        "{path}, line 6, record 2: broken FASTQ: End of file without quality information",
        FASTQ_HINT,
    ),
    "fastq cut after +": (GOOD_READ + b"@b\nAC\n+\n", "{path}, line 7, record 2: broken FASTQ: Unexpected end of file", FASTQ_HINT),
    "fastq two names": (b"@a\nAC\n+b\nII\n", "{path}, line 3, record 1: broken FASTQ: Sequence and quality captions differ", FASTQ_HINT),
    "fastq letter": (
        b"\n" + GOOD_READ + b"@b\nAC7T\n+\nIIII\n",
        "{path}, line 6, record 2 ('b'): found '7', expected an IUPAC nucleotide code",
        LETTERS,
    ),
    "genbank cut": (
        GENBANK[:-4].encode(),
        "{path}, record 2 ('s2'): broken GenBank: the file ends inside a sequence, expected '//'",
        CUT,
    ),
    "genbank cut early": (
        GENBANK[:150].encode(),
        "{path}, record 1: broken GenBank: Premature end of line during sequence data",
        CUT,
    ),
    "genbank lines": (
        GENBANK.replace("14 bp    DNA ", "many of them").encode(),
        "{path}, record 1: broken GenBank: Did not recognise the LOCUS line layout",
        LOCUS,
    ),
    "genbank letter": (
        GENBANK.replace("acguryswkm", "acgu*yswkm").encode(),
        "{path}, record 2 ('s2'): found '*', expected an IUPAC nucleotide code",
        PROTEIN,
    ),
    "genbank long name": (
        GENBANK.replace("S1                        14 bp", "NODE_1_length_14_cov_10.3_pilon14 bp").encode(),
        "{path}, record 1: broken GenBank: Did not recognise the LOCUS line layout",
        LOCUS,
    ),
    "genbank contigs only": (
        CONTIGS.encode(),
        "{path}: the record holds no sequence",
        FULL,
    ),
    "genbank contigs only, twice": (
        2 * CONTIGS.encode(),
        "{path}: its 2 records hold no sequence",
        FULL,
    ),
    "genbank no bases": (
        GENBANK.replace("        1 acguryswkm bdhv\n", "").encode(),
        "{path}, record 2 ('s2'): broken GenBank: found no base below ORIGIN, expected 14",
        CUT,
    ),
    "genbank preamble alone": (
        b"GBTST1.SEQ          Genetic Sequence Data Bank\n\n",
        "{path}: no records: found the beginning of a GenBank file and no record in it",
        None,
    ),
    "embl cut": (EMBL[:-4].encode(), "{path}, record 2: broken EMBL: Premature end of file in sequence data", CUT),
    "embl lines": (b"ID   a; ; ; DN\n", "{path}, record 1: broken EMBL: the lines are not laid out as expected", CUT),
    "swiss-prot": (
        b"ID   TITIN_DROME             Reviewed;       18141 AA.\nAC   Q9I7U4;\n",
        "{path}, record 1: broken EMBL: Did not recognise the ID line layout",
        "it reads ID   X56734; SV 1; linear; mRNA; STD; PLN; 1859 BP.; is this a protein entry (Swiss-Prot)?",
    ),
}


def read_all(path):
    return list(open_records(str(path)))


@pytest.mark.parametrize(("data", "line", "hint"), BAD_CONTENT.values(), ids=BAD_CONTENT)
def test_bad_content(tmp_path, data, line, hint):
    path = written(tmp_path, data)
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert str(caught.value) == line.format(path=path) + (f"\n  hint: {hint}" if hint else "")
    assert caught.value.exit_code == 65


def test_records_before_the_bad_one_are_given(tmp_path):
    records = open_records(str(written(tmp_path, b">a\nAC\n>b\nA*\n")))
    assert next(records).id == "a"
    with pytest.raises(DataError, match="line 4, record 2"):
        next(records)


def test_the_line_is_found_in_a_compressed_file_too(tmp_path):
    path = written(tmp_path, gzip.compress(b">a\nAC\nAE\n"))
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert caught.value.where == f"{path}, line 3, record 1 ('a')"


def test_standard_input_is_named_without_a_line(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b">a\nAC\nAE\n")))
    with pytest.raises(DataError) as caught:
        read_all("-")
    assert caught.value.where == "standard input, record 1 ('a')"


def test_a_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputMissing) as caught:
        read_all("-")
    assert str(caught.value) == "standard input: closed, nothing to read"


def random_fasta() -> bytes:
    bases = random.Random(2)
    return b"".join(b">r%d\n%s\n" % (i, bytes(bases.choices(b"ACGT", k=900))) for i in range(400))


COMPRESS = {
    "gzip": gzip.compress,
    "bgzip": lambda data: bgzip(data, block=60_000),
    "xz": lzma.compress,
    "zstd": zstd,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("keep", [0.5, 0.99, "all but 30 bytes", "only 8 bytes"])
@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
def test_compressed_data_that_ends_early(tmp_path, compress, keep):
    data = compress(random_fasta())
    cut = {"all but 30 bytes": len(data) - 30, "only 8 bytes": 8}.get(keep) or int(len(data) * keep)
    path = written(tmp_path, data[:cut])
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert str(caught.value) == f"{path}: the compressed data ends early\n  hint: the file was cut off; copy or download it again"


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstd], ids=["gzip", "xz", "zstd"])
def test_compressed_data_that_is_damaged(tmp_path, compress):
    data = bytearray(compress(random_fasta()))
    middle = len(data) // 2
    data[middle : middle + 50] = bytes(50)
    path = written(tmp_path, bytes(data))
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert caught.value.message.startswith("the compressed data is damaged (")
    assert caught.value.where == str(path)
    assert caught.value.hint == "copy or download the file again"


def test_no_such_file_names_the_nearest(tmp_path):
    written(tmp_path, FASTA.encode(), "genome.fa.gz")
    with pytest.raises(InputMissing) as caught:
        read_all(tmp_path / "genome.fa")
    assert str(caught.value) == f"{tmp_path}/genome.fa: no such file\n  hint: did you mean {tmp_path}/genome.fa.gz?"
    assert caught.value.exit_code == 66


def test_no_such_folder(tmp_path):
    with pytest.raises(InputMissing) as caught:
        read_all(tmp_path / "data" / "genome.fa")
    assert str(caught.value) == f"{tmp_path}/data/genome.fa: no such file\n  hint: there is no folder {tmp_path}/data either"


def test_a_folder(tmp_path):
    with pytest.raises(InputMissing) as caught:
        read_all(tmp_path)
    assert str(caught.value) == f"{tmp_path}: a folder, expected a file\n  hint: name the sequence files in it"


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = written(tmp_path, FASTA.encode())

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)  # as root no permission is ever missing
    with pytest.raises(InputMissing) as caught:
        read_all(path)
    monkeypatch.undo()
    assert str(caught.value) == f"{path}: can't be read: Permission denied"


def test_a_disk_that_fails_halfway(tmp_path, monkeypatch):
    class FailingDisk(io.RawIOBase):
        def __init__(self, *_args):
            self.reads = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.reads += 1
            if self.reads > 1:
                raise OSError(5, "Input/output error")
            piece = b">a\nACGT\n"
            buffer[: len(piece)] = piece
            return len(piece)

    monkeypatch.setattr("builtins.open", lambda *_args: io.BufferedReader(FailingDisk()))
    with pytest.raises(InputMissing) as caught:
        read_all("x.fa")
    monkeypatch.undo()
    assert str(caught.value) == "x.fa: can't be read: Input/output error"


@pytest.mark.parametrize("records", [750, 1_600], ids=["cut off", "still being written"])
@pytest.mark.parametrize("form", ["fasta", "fastq"])
def test_a_file_that_changes_while_it_is_read_is_told(tmp_path, form, records):
    """Where its last record is not whole nothing in it may say so."""
    record = {"fasta": b">r\n%s\n" % (b"ACGT" * 500), "fastq": b"@r\n%s\n+\n%s\n" % (b"ACGT" * 500, b"I" * 2_000)}[form]
    path, opened = written(tmp_path, record * 1_500), len(record) * 1_500
    found = open_records(str(path))
    next(found)
    with open(path, "r+b") as file:
        file.truncate(min(opened, len(record) * records))
        file.seek(0, os.SEEK_END)
        file.write(record * (records - 1_500))
    now = len(record) * records
    with pytest.raises(
        DataError, match=f"changed while it was read: {now:,} bytes read, {opened:,} when it was opened and {now:,} at the end"
    ):
        list(found)


@pytest.mark.parametrize("size", [100, 50_000])
def test_a_file_that_changes_after_its_end_was_read_is_told(tmp_path, size):
    path = written(tmp_path, b">a\nACGT\n" * 1_000)
    said = f"changed while it was read: 8,000 bytes read, 8,000 when it was opened and {size:,} at the end"

    def read():
        with open_bytes(str(path)) as stream:
            stream.read()
            os.truncate(path, size)

    with pytest.raises(DataError, match=said):
        read()


def test_of_a_file_that_is_not_read_to_its_end_nothing_is_said(tmp_path):
    path = written(tmp_path, b">a\nACGT\n" * 100_000)
    with open_bytes(str(path)) as stream:
        stream.read(10)
        os.truncate(path, 500_000)
