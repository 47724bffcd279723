"""Intervals of a genome: every cut agrees with slicing, and every bad line names itself."""

import gzip
import lzma
import os
import random

import pytest
from sequence_files import bgzip, written

from genomix.errors import DataError, InputMissing, UsageError
from genomix.formats import interval_records
from genomix.records import decode_bases, encode_bases, reverse_complement

GENOME = ">c1 first\nACGTNacgtn\nRYSWKMBDHV\nAC\n>c2\nGGGGGCCCCC\nTTU-.\n"
CONTIGS = {"c1": b"ACGTNacgtnRYSWKMBDHVAC", "c2": b"GGGGGCCCCCTTU-."}


def intervals(bed, genome):
    return [(record.id, record.sequence, info.name, info.contig) for record, info in interval_records(str(bed), str(genome))]


@pytest.fixture
def genome(tmp_path):
    return written(tmp_path, GENOME.encode(), "genome.fa")


def bed_file(tmp_path, text, name="regions.bed"):
    return written(tmp_path, text.encode(), name)


def test_names_strands_and_skipped_lines(tmp_path, genome):
    text = (
        "# made by hand\nbrowser position c1:1-5\ntrack name=x\n\n"
        "c1\t0\t4\tfirst class\r\nc2\t8\t13\tb\t0\t-\textra\nc1\t10\t20\tb\t.\t-\nc1\t4\t6\tb\t960\t+\nc2 0 2 d\n"
    )
    assert intervals(bed_file(tmp_path, text), genome) == [
        ("c1:0-4(.)", b"ACGT", "first class", "c1"),
        ("c2:8-13(-)", b"AAAGG", "b", "c2"),
        ("c1:10-20(-)", b"BDHVKMWSRY", "b", "c1"),
        ("c1:4-6(+)", b"Na", "b", "c1"),
        ("c2:0-2(.)", b"GG", "d", "c2"),
    ]


def test_records_know_the_table_and_their_place_in_it(tmp_path, genome):
    bed = bed_file(tmp_path, "c1\t0\t4\ta\nc1\t1\t4\ta\n")
    records = [record for record, _ in interval_records(str(bed), str(genome))]
    assert [(record.source, record.ordinal, record.description) for record in records] == [(str(bed), 1, ""), (str(bed), 2, "")]


def test_the_table_may_be_compressed_and_names_may_be_any_text(tmp_path, genome):
    path = written(tmp_path, gzip.compress("\ufeffc1\t0\t4\tà la carte\n".encode() + b"c1\t0\t4\tol\xe9\n"), "regions")
    assert [name for _, _, name, _ in intervals(path, genome)] == ["à la carte", "olé"]


def genome_text(contigs, width, line_end):
    lines = [
        line
        for name, bases in contigs.items()
        for line in [f">{name} text", *(bases[start : start + width] for start in range(0, len(bases), width))]
    ]
    return line_end.join(lines)


@pytest.mark.parametrize("final", [True, False], ids=["end", "no_end"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["unix", "dos"])
@pytest.mark.parametrize("width", [1, 7, 60])
@pytest.mark.parametrize("name", ["plain.fa", "bgzip.fa.gz", "misnamed_bgzip.fa", "misnamed_plain.gz"])
def test_every_interval_is_a_slice(tmp_path, name, width, line_end, final):
    bases = random.Random(3)
    contigs = {f"c{length}": "".join(bases.choices("ACGTN", k=length)) for length in (1, 6, 7, 14, 23)}
    text = (genome_text(contigs, width, line_end) + line_end * final).encode()
    genome = written(tmp_path, bgzip(text, block=37) if "bgzip" in name else text, name)
    places = [(contig, start, end) for contig, letters in contigs.items() for end in range(1, len(letters) + 1) for start in range(end)]
    bed = bed_file(tmp_path, "".join(f"{contig}\t{start}\t{end}\tx\n" for contig, start, end in places))
    assert [sequence.decode() for _, sequence, _, _ in intervals(bed, genome)] == [contigs[c][start:end] for c, start, end in places]


def test_intervals_around_the_borders_of_full_bgzip_blocks(tmp_path):
    """Where a contig begins at one too. A full block is 65,536 bytes, one more than an offset within it can be."""
    bases = random.Random(4)
    first, *others = ("".join(bases.choices("ACGT", k=length)) for length in (64_445, 120_000, 9))
    contigs = dict(zip("abc", (first, *others), strict=True))
    text = genome_text(contigs, 60, "\n").encode()
    assert text.index(b">b text\n") + 8 == 65_536
    genome = written(tmp_path, bgzip(text, block=65_536), "full.fa.gz")
    border = 131_072 - 65_536
    inner = next(base for base in range(len(others[0])) if base + base // 60 >= border)
    places = [("b", 0, end) for end in (1, 59, 60, 61, 120_000)]
    places += [("b", start, end) for start in range(inner - 62, inner + 62) for end in (start + 1, start + 61, start + 40_000)]
    bed = bed_file(tmp_path, "".join(f"{contig}\t{start}\t{end}\tx\n" for contig, start, end in places))
    assert [sequence.decode() for _, sequence, _, _ in intervals(bed, genome)] == [contigs[c][start:end] for c, start, end in places]


def test_bytes_that_are_no_text_are_told(tmp_path):
    """pyfaidx refuses them where it makes the index, and decodes them where samtools has made it."""
    genome = written(tmp_path, b">c\nACG\xffACG\n", "genome.fa")
    written(tmp_path, b"c\t7\t3\t7\t8\n", "genome.fa.fai")
    with pytest.raises(DataError, match=r"line 1, in .*genome\.fa: found 'ÿ'"):
        intervals(bed_file(tmp_path, "c\t1\t6\tx\n"), genome)


def test_the_minus_strand_is_the_reverse_complement_of_the_plus_strand(tmp_path, genome):
    plus, minus = (intervals(bed_file(tmp_path, f"c1\t1\t22\tx\t0\t{strand}\n"), genome)[0][1] for strand in "+-")
    assert decode_bases(encode_bases(minus)) == decode_bases(reverse_complement(encode_bases(plus)))


@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz"])
def test_the_index_is_kept_beside_the_genome_and_made_anew_when_the_genome_changes(tmp_path, name):
    compress = bgzip if name.endswith(".gz") else bytes
    bed = bed_file(tmp_path, "c1\t0\t4\tx\n")
    genome = written(tmp_path, compress(GENOME.encode()), name)
    assert intervals(bed, genome)[0][1] == b"ACGT"
    index = tmp_path / f"{name}.fai"
    assert index.exists()
    written(tmp_path, compress(b">c0\nTTTTT\n>c1\nGGGGG\n"), name)
    os.utime(genome, (index.stat().st_mtime + 10,) * 2)
    assert intervals(bed, genome)[0][1] == b"GGGG"


@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz"])
def test_nothing_is_written_into_a_read_only_folder(tmp_path, monkeypatch, name):
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)  # as root every folder is writable
    (tmp_path / "genomes").mkdir()
    genome = written(tmp_path / "genomes", (bgzip if name.endswith(".gz") else bytes)(GENOME.encode()), name)
    assert intervals(bed_file(tmp_path, "c2\t0\t6\tx\n"), genome)[0][1] == b"GGGGGC"
    assert [path.name for path in (tmp_path / "genomes").iterdir()] == [name]


def test_an_index_that_is_ready_is_used_in_a_read_only_folder(tmp_path, genome, monkeypatch, caplog):
    bed = bed_file(tmp_path, "c1\t0\t4\tx\n")
    caplog.set_level("INFO")
    intervals(bed, genome)
    assert [entry.getMessage() for entry in caplog.records] == [f"indexing {genome}, once: the index is kept in {genome}.fai"]
    caplog.clear()
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    assert intervals(bed, genome)[0][1] == b"ACGT"
    assert not caplog.records


BAD_LINES = {
    "three columns": (
        "c1\t0\t4\n",
        "found 3 columns, expected contig, start, end, name",
        "column 4 holds the class (enhancer, promoter); all regions stand in one BED file",
    ),
    "no name": (
        "c1\t0\t4\t \t0\t+\n",
        "found an empty name, expected contig, start, end, name",
        "column 4 holds the class (enhancer, promoter); all regions stand in one BED file",
    ),
    "gff": (
        "c1\thavana\tgene\t1\t4\n",
        "found 'havana' as the start, expected a whole number",
        "is it a BED table? GFF and GTF have other columns",
    ),
    "half": (
        "c1\t0\t4.5\tx\n",
        "found '4.5' as the end, expected a whole number",
        "is it a BED table? GFF and GTF have other columns",
    ),
    "empty": ("c1\t4\t4\tx\n", "found start 4 and end 4, expected 0 <= start < end", None),
    "turned": ("c1\t9\t4\tx\n", "found start 9 and end 4, expected 0 <= start < end", None),
    "negative": ("c1\t-1\t4\tx\n", "found start -1 and end 4, expected 0 <= start < end", None),
    "beyond": (
        "c1\t0\t23\tx\n",
        "found end 23, expected at most 22, the length of 'c1' in {genome}",
        "do the table and the FASTA belong to one version of the genome?",
    ),
    "strand": ("c1\t0\t4\tx\t0\t1\n", "found strand '1' in column 6, expected '+', '-' or '.'", None),
    "contig": ("chr1\t0\t4\tx\n", "found contig 'chr1', which is not in {genome}", "nearest: c1"),
    "far contig": ("MT\t0\t4\tx\n", "found contig 'MT', which is not in {genome}", "its first contigs: c1, c2"),
}


@pytest.mark.parametrize(("line", "message", "hint"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_lines(tmp_path, genome, line, message, hint):
    bed = bed_file(tmp_path, f"# one\nc1\t0\t4\tx\n{line}")
    with pytest.raises(DataError) as caught:
        intervals(bed, genome)
    assert str(caught.value) == f"{bed}, line 3: {message.format(genome=genome)}" + (f"\n  hint: {hint}" if hint else "")


def test_a_table_without_intervals(tmp_path, genome):
    bed = bed_file(tmp_path, "# nothing\n\n")
    with pytest.raises(DataError) as caught:
        intervals(bed, genome)
    assert str(caught.value) == f"{bed}: no intervals: the table is empty"


def test_a_foreign_letter_names_the_line_and_the_genome(tmp_path):
    genome = written(tmp_path, b">p\nACGTMKLV\n", "protein.fa")
    with pytest.raises(DataError) as caught:
        intervals(bed_file(tmp_path, "p\t0\t4\tx\np\t2\t8\tx\n"), genome)
    assert str(caught.value).startswith(f"{tmp_path}/regions.bed, line 2, in {genome}: found 'L', expected an IUPAC nucleotide code\n")


def test_an_index_of_another_file(tmp_path, genome):
    written(tmp_path, b"c1\t200\t10\t10\t11\n", "genome.fa.fai")
    with pytest.raises(DataError) as caught:
        intervals(bed_file(tmp_path, "c1\t90\t100\tx\n"), genome)
    assert f"or {genome}.fai is of another file" in caught.value.message


@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz"])
@pytest.mark.parametrize(
    "changed",
    [
        GENOME[GENOME.index(">c2") :] + GENOME[: GENOME.index(">c2")],
        GENOME.replace(">c2", ">c22"),
        GENOME.replace(">c1 first", ">c1"),
        GENOME.replace(">c1", ">c0"),
        GENOME.replace("AC\n>c2", "A\n>c2"),
        f">c0 {'long ' * 1000}\nA\n{GENOME}",
    ],
    ids=["reordered", "renamed", "redescribed", "another name", "shorter", "one more"],
)
def test_an_index_that_a_file_with_an_older_date_does_not_fit(tmp_path, name, changed):
    compress = bgzip if name.endswith(".gz") else bytes
    genome, bed = written(tmp_path, compress(GENOME.encode()), name), bed_file(tmp_path, "c2\t0\t4\tx\n")
    assert intervals(bed, genome)[0][1] == b"GGGG"
    written(tmp_path, compress(changed.encode()), name)
    os.utime(genome, (1e9, 1e9))  # as tar and rsync keep it
    with pytest.raises(DataError) as caught:
        intervals(bed, genome)
    ending = ".fai and {0}.gzi; they are made anew" if name.endswith(".gz") else ".fai; it is made anew"
    assert caught.value.message.startswith("its index is of another file: found no ")
    assert caught.value.hint == f"delete {genome}{ending.format(genome)}"


def test_a_header_of_any_length_and_any_blanks_is_found(tmp_path):
    text = f"> a\u00a0b {'x' * 70_000}\nACGT\nAC\n>c\n>d\t{'y' * 300}\r\nGGTT\r\n"
    for name in ("genome.fa", "genome.fa.gz"):
        genome = written(tmp_path, (bgzip(text.encode(), block=999) if name.endswith(".gz") else text.encode()), name)
        found = intervals(bed_file(tmp_path, "a\t1\t6\tx\nd\t0\t4\tx\n"), genome)
        assert [sequence for _, sequence, _, _ in found] == [b"CGTAC", b"GGTT"]


BAD_GENOMES = {
    "gzip": (gzip.compress(GENOME.encode()), "found gz compression, expected plain FASTA or bgzip for reading at random places"),
    "xz": (lzma.compress(GENOME.encode()), "found xz compression, expected plain FASTA or bgzip for reading at random places"),
    "table": (b"id\tlabel\n", "found no '>' at the beginning, expected a FASTA"),
    "bgzip table": (bgzip(b"id\tlabel\n"), "found no '>' at the beginning, expected a FASTA"),
    "byte-order mark": (b"\xef\xbb\xbf>a\nAC\n", "found a byte-order mark (UTF-8) at the beginning, expected '>'"),
    "bgzip byte-order mark": (bgzip(b"\xef\xbb\xbf>a\nAC\n"), "found a byte-order mark (UTF-8) at the beginning, expected '>'"),
    "empty": (b"", "found no '>' at the beginning, expected a FASTA"),
    "same names": (b">a\nAC\n>a\nGT\n", 'can\'t be indexed: Duplicate key "a"'),
}


@pytest.mark.parametrize(("data", "message"), BAD_GENOMES.values(), ids=BAD_GENOMES)
def test_bad_genomes(tmp_path, data, message):
    genome = written(tmp_path, data, "genome.fa")
    with pytest.raises(DataError) as caught:
        intervals(bed_file(tmp_path, "c1\t0\t4\tx\n"), genome)
    assert (caught.value.where, caught.value.message) == (str(genome), message)


def test_a_genome_with_ragged_lines(tmp_path):
    genome = written(tmp_path, b">a\nACGT\nAC\nACGT\n", "genome.fa")
    with pytest.raises(DataError) as caught:
        intervals(bed_file(tmp_path, "a\t0\t4\tx\n"), genome)
    assert caught.value.message.startswith("can't be indexed: Line length of fasta file is not consistent!")
    assert caught.value.hint == "an index needs unique names, lines of one length, and no blanks in them; seqkit seq -w 80 wraps them anew"


@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz"])
@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b"ACGTACGT \nTTTTCCCC \nGG\n", "or end in a blank"),
        (b"ACGTACGT\nTTTTCCCCGAGT\n", "of different lengths"),
        (b"ACGTACGT\nTT\n>b\nACG \n", "the lines of 'b'"),
        (b"ACGT\nAAAA\nCCGGTTAGCATTTGCA\n>d\nACGT\n", "of different lengths"),
        (b"ACGT\nAAAA\nCCGGTTAGCATTTGCATTTTTGCAT\n>d\nA\n>e\nA\n", "of different lengths"),
        (b"ACGT\n>b\nAAACCC\n\n\n", "pyfaidx fails on its lines"),
    ],
)
def test_lines_that_an_index_would_read_wrong_bases_of(tmp_path, lines, says, name):
    text = b">a\n" + lines
    genome = written(tmp_path, bgzip(text) if name.endswith(".gz") else text, name)
    with pytest.raises(DataError) as caught:
        intervals(bed_file(tmp_path, "a\t0\t4\tx\n"), genome)
    assert says in caught.value.message


def test_missing_files(tmp_path, genome):
    bed = bed_file(tmp_path, "c1\t0\t4\tx\n")
    with pytest.raises(InputMissing, match="no such file"):
        intervals(bed, tmp_path / "no.fa")
    with pytest.raises(InputMissing, match="no such file"):
        intervals(tmp_path / "no.bed", genome)
    with pytest.raises(UsageError, match="not from standard input"):
        intervals(bed, "-")
