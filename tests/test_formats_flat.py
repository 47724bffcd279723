"""GenBank and EMBL: files put together, what stands between records, and records without their sequence."""

import pytest
from sequence_files import EMBL, GENBANK, RECORDS, written
from test_formats import contents

from genomix.errors import DataError
from genomix.formats import open_records

FIRST_LINE = "each record begins with that, in capitals and with nothing before it; a file holds records of one format"


@pytest.mark.parametrize("between", ["\n\n", "//\n", "\ufeff", "\n\ufeff", "GBTST2.SEQ   Genetic Sequence Data Bank\n   June 15 2024\n\n"])
def test_flat_files_put_together_are_one(tmp_path, between):
    third = (*RECORDS[0][:3], 3)
    assert contents(written(tmp_path, (GENBANK + between + GENBANK).encode()))[:3] == [*RECORDS, third]
    if between.isspace() or "\ufeff" in between:
        assert contents(written(tmp_path, (EMBL + between + EMBL).encode()))[:3] == [*RECORDS, third]


@pytest.mark.parametrize(
    ("text", "full", "contigs"),
    [
        (GENBANK, "ORIGIN\n        1 acgtacgtac gtnn\n", "CONTIG      join(X1.1:1..14)\n"),
        (
            EMBL,
            "SQ   Sequence 14 BP;\n     acgtacgtac gtnn                                                          14\n",
            "CO   join(X1.1:1..14)\n",
        ),
    ],
    ids=["GenBank", "EMBL"],
)
def test_flat_file_records_that_only_name_their_contigs_are_empty_and_told_once(tmp_path, caplog, text, full, contigs):
    path = written(tmp_path, (2 * text.replace(full, contigs)).encode())
    empty, whole = (*RECORDS[0][:2], b""), RECORDS[1][:3]
    assert contents(path) == [(*empty, 1), (*whole, 2), (*empty, 3), (*whole, 4)]
    (told,) = [entry.getMessage() for entry in caplog.records]
    assert told.startswith(f"{path}: 2 of 4 records hold no sequence and are taken as empty; download records in full: ")


def test_letters_without_their_heading_are_a_sequence(tmp_path, caplog):
    assert contents(written(tmp_path, GENBANK.replace("ORIGIN", "BASE COUNT       14 a").encode())) == RECORDS
    assert not caplog.records


def test_the_first_line_of_hla_alleles(tmp_path):
    text = EMBL.replace("ID   s1; ; ; DNA; ; UNC; 14 BP.", "ID   s1; SV 1; standard; DNA; HUM; 14 BP.")
    assert contents(written(tmp_path, text.encode())) == [("s1.1", *RECORDS[0][1:]), RECORDS[1]]


BETWEEN = [
    (GENBANK, ">a", "LOCUS       "),
    (GENBANK, "DEFINITION  third one", "LOCUS       "),
    (GENBANK, "locus       S3", "LOCUS       "),
    (GENBANK, " LOCUS       S3", "LOCUS       "),
    (GENBANK, "LOCUS S3", "LOCUS       "),
    (GENBANK, "ID   s3", "LOCUS       "),
    (EMBL, "LOCUS       S3", "ID   "),
    (EMBL, "GBTST1.SEQ   Genetic Sequence Data Bank", "ID   "),
]


@pytest.mark.parametrize(("text", "line", "start"), BETWEEN)
def test_what_is_no_record_is_not_passed_over(tmp_path, text, line, start):
    path, number = written(tmp_path, f"\n{text}\n{line}\nACGT\n".encode()), text.count("\n") + 3
    with pytest.raises(DataError) as caught:
        list(open_records(str(path)))
    message = f"found {line!r}, expected a record's first line: {start!r}"
    assert str(caught.value) == f"{path}, line {number}, record 3: {message}\n  hint: {FIRST_LINE}"
