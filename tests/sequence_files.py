"""The same two records in every format, and the compressions that tests put them in."""

import bz2
import gzip
import io
import lzma
from pathlib import Path

from Bio.bgzf import BgzfWriter
from xopen import xopen

FASTA = """\
>s1 first one
ACGTACGTAC
GTNN
>s2 second one
ACGURYSWKMBDHV
"""

FASTQ = """\
@s1 first one
ACGTACGTACGTNN
+
@IIIIIIIIIIII+
@s2 second one
ACGURYSWKMBDHV
+s2 second one
IIIIIIIIIIIIII
"""

GENBANK = """\
LOCUS       S1                        14 bp    DNA     linear   UNK 01-JAN-1980
DEFINITION  first one
ACCESSION   s1
FEATURES             Location/Qualifiers
     CDS             1..6
                     /note="no such location is ever read: 1..(2)"
ORIGIN
        1 acgtacgtac gtnn
//
LOCUS       S2                        14 bp    RNA     linear   UNK 01-JAN-1980
DEFINITION  second one
ACCESSION   s2
FEATURES             Location/Qualifiers
ORIGIN
        1 acguryswkm bdhv
//
"""

EMBL = """\
ID   s1; ; ; DNA; ; UNC; 14 BP.
XX
AC   s1;
XX
DE   first one
XX
SQ   Sequence 14 BP;
     acgtacgtac gtnn                                                          14
//
ID   s2; ; ; RNA; ; UNC; 14 BP.
XX
AC   s2;
XX
DE   second one
XX
SQ   Sequence 14 BP;
     acguryswkm bdhv                                                          14
//
"""

EXAMPLES = {"FASTA": FASTA, "FASTQ": FASTQ, "GenBank": GENBANK, "EMBL": EMBL}
RECORDS = [("s1", "first one", b"ACGTACGTACGTNN", 1), ("s2", "second one", b"ACGURYSWKMBDHV", 2)]


def zstd(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with xopen(buffer, "wb", format="zst", threads=0) as file:
        file.write(data)
    return buffer.getvalue()


def bgzip(data: bytes, *, block: int = 50) -> bytes:
    buffer = io.BytesIO()
    writer = BgzfWriter(fileobj=buffer)
    for start in range(0, len(data), block):
        writer.write(data[start : start + block])
        writer.flush()
    writer.flush()
    return buffer.getvalue() + bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


COMPRESSIONS = {"plain": bytes, "gzip": gzip.compress, "bgzip": bgzip, "xz": lzma.compress, "zstd": zstd, "bzip2": bz2.compress}


def written(tmp_path: Path, data: bytes, name: str = "input") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path
