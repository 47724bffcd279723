"""Files out of other tools' test suites: what each gives, none a traceback."""

import pytest

from genomix.errors import DataError
from genomix.formats import open_records

NOT_A_FORMAT = "expected FASTA, FASTQ, GenBank or EMBL"
BLANK = "no records: the input is empty or blank"
FOREIGN = "expected an IUPAC nucleotide code"

# file -> (records, bases) or the words of its error
OUTCOMES = {
    "SOURCE.txt": NOT_A_FORMAT,
    "biopython/README": NOT_A_FORMAT,
    "biopython/aster_no_wrap.pro": "line 2, record 1 ('gi|3298468|dbj|BAA31520.1|'): found 'P', " + FOREIGN,
    "biopython/centaurea.nu": (1, 1002),
    "biopython/dups.fasta": (5, 24),
    "biopython/f001": "line 2, record 1 ('gi|3318709|pdb|1A91|'): found 'E', " + FOREIGN,
    "biopython/f002": (3, 1517),
    "biopython/f003.fa": "line 2, record 1 ('gi|3318709|pdb|1A91|'): found 'E', " + FOREIGN,
    "biopython/fa01": "line 2, record 1 ('AK1H_ECOLI/1-378'): found 'P', " + FOREIGN,
    "biopython/flowers.pro.gz": "line 2, record 1 ('gi|2781234|pdb|1JLY|B'): found 'L', " + FOREIGN,
    "biopython/lavender.nu": (1, 550),
    "bowtie2/lambda_virus.fa": (1, 48_502),
    "htslib/auxf.fa": (1, 20),
    "htslib/bgziptest.txt.gz": "line 1: found '122333444455555', " + NOT_A_FORMAT,
    "htslib/ce.1.expected.fa": (2, 250),
    "htslib/ce.fa": (7, 1_039_800),
    "htslib/faidx.1.expected.fa": (3, 10),
    "htslib/faidx.fa.expected.fai": NOT_A_FORMAT,
    "htslib/fastqs.1.expected.fq": (4, 99),
    "htslib/fastqs.2.expected.fa": (4, 99),
    "htslib/fastqs.fq": (105, 18_914),
    "htslib/fastqs.fq.expected.fai": NOT_A_FORMAT,
    "htslib/interleaved.fa": (10, 1000),
    "htslib/longline.fq": (1, 4),
    "htslib/md.fa": (1, 40),
    "htslib/minimal.fa": (1, 1),
    "htslib/multiline.fa": (2, 78),
    "htslib/xx.fa": (3, 70),
    "pyfaidx/chr17.hg19.part.fa": (1, 40_000),
    "pyfaidx/gene.bed12.fasta": (1, 1073),
    "pyfaidx/genes.fasta": (20, 69_469),
    "pyfaidx/genes.fasta.gz": (20, 69_469),
    "pyfaidx/genes.fasta.lower": (20, 69_469),
    "pyfaidx/issue_141.fasta": (20, 69_469),
    "pyfastx/protein.fa": "line 2, record 1 ('UPI0000000011'): found 'I', " + FOREIGN,
    "pyfastx/test.fa": (211, 86_262),
    "pyfastx/test.fa.gz": (211, 86_262),
    "seqkit/SIRV_150601a.fasta": (7, 223_019),
    "seqkit/a.fa": "line 2, record 1 ('A'): found '1', " + FOREIGN,
    "seqkit/blank.fx": BLANK,
    "seqkit/blank1.fx": BLANK,
    "seqkit/common_a.fasta": (7, 43),
    "seqkit/contigs.fa": (9, 54),
    "seqkit/empty.fx": BLANK,
    "seqkit/empty_id_and_seq.fa": (11, 7),
    "seqkit/empty_id_and_seq2.fa": (3, 8),
    "seqkit/hairpin.fa.gz": (28_645, 2_949_871),
    "seqkit/hairpin.fa.xz": (28_645, 2_949_871),
    "seqkit/hairpin.fa.zst": (28_645, 2_949_871),
    "seqkit/titin.fas": "line 2, record 1 ('sp|Q9I7U4|TITIN_DROME'): found 'Q', " + FOREIGN,
    "seqkit/viruses.fasta": (4, 240),
    "skani/all_ns.fa": (1, 1320),
    "skani/e.coli-W.fasta.gz": (1, 4_897_452),
    "skani/empty_fasta.fa": (2, 1),
    "skani/o157_plasmid.fasta": (1, 92_596),
    "skani/test.fasta": (1, 36),
    "skani/viruses.fna": (3, 61_730),
}


@pytest.mark.shared
def test_no_file_is_left_out(shared):
    folder = shared / "stress"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(OUTCOMES)


@pytest.mark.shared
@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(shared, name):
    path, expected = shared / "stress" / name, OUTCOMES[name]
    if isinstance(expected, tuple):
        records = list(open_records(str(path)))
        assert (len(records), sum(len(record.sequence) for record in records)) == expected
    else:
        with pytest.raises(DataError) as caught:
            list(open_records(str(path)))
        assert str(caught.value).startswith(str(path))
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value).split("\n  hint: ")[0]
