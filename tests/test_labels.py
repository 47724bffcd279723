"""Every way to give labels, and every way to get it wrong."""

import gzip
import logging
import sys
from pathlib import Path

import pytest

from genomix.data.label_table import Columns, read_label_table
from genomix.data.label_text import listed, look_alikes
from genomix.data.labels import Label, LabelSettings, build_labeller, labelled_records
from genomix.data.source_files import SourceFile, find_source_files, split_source
from genomix.errors import DataError, InputMissing, UsageError

A, B = ">a1 host=Homo sapiens\nACGTACGTACGTACGTACGT\n", ">b1 host=Mus musculus\nTTGTACGTACGTACGTACCC\n>b2\nTTGTACGTACGTACGTAGGG\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The working folder, with two FASTA files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.fa").write_text(A)
    (tmp_path / "b.fa").write_text(B)
    return tmp_path


def table(text: str, name: str = "labels.tsv") -> str:
    Path(name).write_text(text)
    return name


def labels_of(sources, *, read_split=False, **options) -> dict[str, Label]:
    """id -> label, of the records of some sources."""
    files, settings = find_source_files(sources), LabelSettings(**options)
    items = labelled_records(files, build_labeller(files, settings, read_split=read_split), settings)
    return {item.record.id: item.known for item in items}


# --- files that carry a label


@pytest.mark.parametrize(
    ("source", "label", "path"),
    [
        ("a.fa", None, "a.fa"),
        ("x=a.fa", "x", "a.fa"),
        ("Homo sapiens=a.fa", "Homo sapiens", "a.fa"),
        ("x=y=a.fa", "x=y", "a.fa"),
        ("x=-", "x", "-"),
        ("-", None, "-"),
        ("x=absent=y.fa", "x", "absent=y.fa"),
        ("k=1.fa", None, "k=1.fa"),
        ("x=k=1.fa", "x", "k=1.fa"),
    ],
)
def test_pairs_of_name_and_file(folder, source, label, path):
    (folder / "k=1.fa").write_text(A)
    assert split_source(source) == (label, path)


@pytest.mark.parametrize("source", ["=a.fa", " =a.fa", "x="])
def test_half_a_pair_is_wrong_usage(source):
    with pytest.raises(UsageError, match="is no NAME=file pair"):
        find_source_files([source])


def test_a_pair_labels_all_records():
    assert labels_of(["x=a.fa", "y=b.fa"]) == {"a1": Label("x"), "b1": Label("y"), "b2": Label("y")}


def test_a_class_folder(folder, caplog):
    for path in ("data/x/1.fa.gz", "data/x/deeper/2.fna", "data/y/3.GBK", "data/y/notes.txt", "data/readme.md", "data/.git/4.fa"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")
    with caplog.at_level(logging.INFO):
        files = find_source_files(["data"])
    assert files == [SourceFile("data/x/1.fa.gz", "x"), SourceFile("data/x/deeper/2.fna", "x"), SourceFile("data/y/3.GBK", "y")]
    assert caplog.messages == ["data: 1 other file is not read (readme.md)", "data/y: 1 other file is not read (notes.txt)"]


def tree(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("")


def test_sequence_files_beside_class_folders_are_a_warning(caplog):
    tree("data/x/1.fa", "data/y/2.fa", "data/z.fa.gz", "data/a.fa", "data/readme.md")
    assert len(find_source_files(["data"])) == 2
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "data: 2 sequence files beside the class folders, not in one: not read (a.fa)")
    ]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["train/x/1.fa", "train/y/1.fa", "Test/x/2.fa"], "the sub-folders 'Test', 'train' are named like splits, expected one a class"),
        (["train/1.fa", "val/2.fa", "x/3.fa"], "the sub-folders 'train', 'val' are named like splits, expected one a class"),
        (["train/x/1.fa", "train/y/1.fa"], "the sub-folders 'train' are named like splits, expected one a class"),
        (
            [f"fold{n}/{name}/1.fa" for n in range(5) for name in "xy"],
            "the sub-folders 'fold0', 'fold1', 'fold2' and 2 more hold folders of the same names and no sequence files, expected one a class",
        ),
    ],
)
def test_class_folders_one_level_further_down_are_not_mistaken(paths, message):
    tree(*(f"data/{path}" for path in paths))
    with pytest.raises(DataError) as caught:
        find_source_files(["data"])
    assert (caught.value.where, caught.value.message) == ("data", message)
    first = min(path.split("/")[0] for path in paths)
    assert caught.value.hint.startswith(f"give one of them (data/{first}), or NAME=folder for every class")


def test_folders_of_samples_in_class_folders_and_a_class_named_like_a_split_are_fine():
    tree(
        "data/ala/GCF_1/1.fa",
        "data/ala/GCF_2/1.fa",
        "data/val/GCF_3/1.fa",
        "data/val/GCF_4/1.fa",
        "data/ser/fasta/1.fa",
        "data/gly/fasta/1.fa",
    )
    assert [file.label for file in find_source_files(["data"])] == ["ala", "ala", "gly", "ser", "val", "val"]


def test_links_are_followed_and_hidden_folders_are_not_read(folder):
    for path in ("archive/2.fa", "data/x/1.fa", "data/x/.ipynb_checkpoints/1-checkpoint.fa"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")
    (folder / "data/x/batch").symlink_to(folder / "archive")
    (folder / "archive/up").symlink_to(folder / "archive")
    assert find_source_files(["data"]) == [SourceFile("data/x/1.fa", "x"), SourceFile("data/x/batch/2.fa", "x")]


def test_a_folder_of_files_has_no_labels(folder):
    assert find_source_files([str(folder)]) == [SourceFile(str(folder / "a.fa")), SourceFile(str(folder / "b.fa"))]


def test_a_labelled_folder(folder):
    assert find_source_files([f"x={folder}"]) == [SourceFile(str(folder / "a.fa"), "x"), SourceFile(str(folder / "b.fa"), "x")]


def test_a_class_folder_without_sequences(folder):
    (folder / "data/x").mkdir(parents=True)
    with pytest.raises(DataError, match="no sequence file") as caught:
        find_source_files(["data"])
    assert caught.value.where == "data/x"
    assert ".fasta" in caught.value.hint


def test_a_file_that_is_not_there_is_missed_before_anything_is_read():
    with pytest.raises(InputMissing, match="no such file") as caught:
        find_source_files(["x=a.fa", "y=bb.fa"])
    assert caught.value.where == "bb.fa"
    assert caught.value.hint == "did you mean b.fa?"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("x=dat?/*.fa", "give x=FILE for each file of the class, or x=FOLDER"),
        ("dat?/*.fa", "leave out the quotes; files must match"),
    ],
)
def test_patterns_of_file_names_are_the_shells(source, hint):
    tree("data/a.fa")
    for labelled in (True, False):
        with pytest.raises(InputMissing, match="no such file") as caught:
            find_source_files([source], labelled=labelled)
        assert caught.value.where == "dat?/*.fa"
        assert caught.value.hint == f"the shell expands * and ?, but not in quotes nor behind NAME=: {hint}"


def test_a_file_given_twice():
    with pytest.raises(UsageError, match=r"a\.fa is given twice"):
        find_source_files(["x=a.fa", "y=a.fa"])


# --- the label table


def test_a_table_labels_by_id():
    path = table("id\tlabel\tgroup\tlength\nb1\ty\tg\t3\na1\tx x\t\t3\nb2\tNA\th\t\n")
    assert labels_of(["a.fa", "b.fa"], table=path) == {"a1": Label("x x"), "b1": Label("y", "g"), "b2": Label("NA", "h")}


def test_columns_of_other_names():
    path = table("accession,species,genus,fold\na1,x,g,val\n", "labels.csv")
    columns = {"id_column": "accession", "label_column": "species", "group_column": "genus", "split_column": "fold"}
    assert labels_of(["a.fa"], table=path, read_split=True, **columns) == {"a1": Label("x", "g", "validation")}


def test_a_table_with_quotes_a_byte_order_mark_and_crlf(folder):
    (folder / "t.tsv.gz").write_bytes(gzip.compress('\ufeffid\tlabel\r\na1\t"x\ty ""z"" w"\r\n\r\n'.encode()))
    assert labels_of(["a.fa"], table="t.tsv.gz") == {"a1": Label('x\ty "z" w')}


def test_empty_fields_beyond_the_last_column_do_no_harm():
    assert labels_of(["a.fa"], table=table('id,label\na1,"x, y",, \n')) == {"a1": Label("x, y")}


def test_a_record_that_the_table_lacks_has_no_label():
    assert labels_of(["b.fa"], table=table("id\tlabel\nb1\ty\n"))["b2"] == Label()


def test_ids_that_no_record_has_are_counted_and_five_are_named(caplog):
    path = table("id\tlabel\na1\tx\n" + "".join(f"n{number}\tx\n" for number in range(7)))
    with pytest.raises(DataError) as caught:
        labels_of(["a.fa"], table=path)
    assert str(caught.value) == (
        "labels.tsv: 7 of 8 ids are in no sequence file: 'n0', 'n1', 'n2', 'n3', 'n4', ...\n"
        "  hint: an id is the header's first word; --allow-missing goes on without them"
    )
    assert labels_of(["a.fa"], table=path, allow_missing=True) == {"a1": Label("x")}
    with pytest.raises(DataError) as caught:
        labels_of(["a.fa", "b.fa"], table=path)
    assert caught.value.hint == (
        "an id is the header's first word; the table lacks 'b1' in b.fa, 'b2' in b.fa; --allow-missing goes on without them"
    )
    assert "7 of 8 ids are in no sequence file" in caplog.text


def test_ids_of_the_table_that_several_files_have_are_told_once(folder, caplog):
    for name in ("s1.fa", "s2.fa", "s3.fa"):
        (folder / name).write_text(f">NODE_1\nACGT\n>NODE_1\nACCT\n>NODE_2\nAAGT\n>{name}\nACGG\n")
    path = table("id\tlabel\nNODE_1\tx\nNODE_2\ty\ns1.fa\tz\n")
    labels_of(["s1.fa", "s2.fa", "s3.fa"], table=path)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            (
                "labels.tsv: 2 of 3 ids are those of records in two files or more, such as 'NODE_1' in s1.fa and s2.fa: all got the row's label; "
                "if they are not of one sample, write another id in each file and in the table, or label whole files (NAME=file)"
            ),
        )
    ]
    caplog.clear()
    assert labels_of(["s1.fa", "NODE=s2.fa"], table=path)["s1.fa"] == Label("z")
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("ids", "hint"),
    [
        (["b1.1", "b2.12"], "2 would match but for the version: 'b1.1' in the table, 'b1' in b.fa; write both alike"),
        (["NC_1"], "1 would match but for the version: 'NC_1' in the table, 'NC_1.2' in c.fa; write both alike"),
        (
            [">b1 host=Mus musculus", "b2 of it"],
            "2 would match by their first word: '>b1 host=Mus musculus' in the table, 'b1' in b.fa; an id is the header's first word",
        ),
        (["q"], "an id is the header's first word; the table lacks 'b1' in b.fa, 'b2' in b.fa, 'NC_1.2' in c.fa"),
    ],
)
def test_ids_that_are_written_another_way(folder, ids, hint):
    (folder / "c.fa").write_text(">NC_1.2\nACGT\n>NC_2.1\nACGT\n")
    path = table("".join(["id\tlabel\n", *(f"{name}\tx\n" for name in ids)]))
    with pytest.raises(DataError) as caught:
        labels_of(["b.fa", "c.fa"], table=path)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("ID\tlabel\na1\tx\n", "labels.tsv", "no column 'id'; the columns are 'ID', 'label'", "--id-column 'ID'?"),
        ("id\tspecies\na1\tx\n", "labels.tsv", "no column 'label'; the columns are 'id', 'species'", "--label-column names the column"),
        ("", "labels.tsv", "no column 'id'; the columns are nothing", "--id-column names the column"),
        ("id\tlabel\n", "labels.tsv", "the label table has no rows", None),
        ("id\tlabel\tlabel\na\tx\ty\n", "labels.tsv", "2 columns are called 'label'", "rename all but one"),
        ("id\tlabel\na1\tx\nb1\n", "labels.tsv, line 3", "found 1 fields, expected 2", "are the fields separated by tabs?"),
        ("id,label\na1,Canis lupus, gray\n", "labels.tsv, line 2", "found 3 fields, expected 2", "a field that holds a comma"),
        ("id\tlabel\na1\tx\nb1\ty\t\tz\n", "labels.tsv, line 3", "found 4 fields, expected 2", "a field that holds a tab"),
        ("id\tlabel\n1\ta1\tx\n", "labels.tsv, line 2", "found 3 fields, expected 2", "row names without a header? R: write.table("),
        ("id\tlabel\na1\tx\nb1\ty\tz\n", "labels.tsv, line 3", "found 3 fields, expected 2", "a field that holds a tab needs quotes"),
        (
            "id,label\n1,a1,x\n",
            "labels.tsv, line 2",
            "found 3 fields, expected 2",
            "a field that holds a comma needs quotes around it; or row names without a header?",
        ),
        ("id;label\na1;A;x\n", "labels.tsv, line 2", "found 3 fields, expected 2", "a field that holds a ; needs quotes around it"),
        ("id;label;group\na1;x\n", "labels.tsv, line 2", "found 2 fields, expected 3", "a field that holds a ; needs quotes around it"),
        ("name;label\na1;x\n", "labels.tsv", "no column 'id'; the columns are 'name', 'label'", "--id-column names the column"),
        (
            '"id" "label"\n"1" "a1" "x"\n',
            "labels.tsv, line 1",
            'found \'"id" "label"\', expected column names separated by tabs',
            'separated by blanks? R: write.table(..., sep="\\t", row.names=FALSE)',
        ),
        ("id\tlabel\n \tx\n", "labels.tsv, line 2", "the id is empty", None),
        ("id\tlabel\na1\tx\0\n", "labels.tsv, line 2", "found a NUL byte", None),
        (
            "id\tlabel\na1\tx\na1\ty\n",
            "labels.tsv, line 3",
            "id 'a1' has label 'y' here and 'x' in line 2",
            "rows of one id must have one label",
        ),
        (
            "id\tlabel\tgroup\na1\tx\tg\na1\tx\th\n",
            "labels.tsv, line 3",
            "id 'a1' has group 'h' here and 'g' in line 2",
            "rows of one id must have one group",
        ),
        (
            'id\tlabel\na1\tx\nb1\t"y\nc1\tz\nd1\t"\n',
            "labels.tsv, line 3",
            "found label 'y\\nc1\\tz\\nd1', expected no line end in it",
            'a " that is not closed?',
        ),
        (
            'id\tlabel\tgroup\n"a1\tx\tg\nb1"\ty\t\n',
            "labels.tsv, line 2",
            "found id 'a1\\tx\\tg\\nb1', expected no line end in it",
            'a " that is not closed?',
        ),
        (
            'id\tlabel\tgroup\na1\t"' + "x" * 70 + '\nb1\ty\t"\n',
            "labels.tsv, line 2",
            f"found label '{'x' * 60}'..., expected no line end in it",
            'a " that is not closed?',
        ),
        ('id\tlabel\na1\t"x\n', "labels.tsv, after line 1", "not a readable table: unexpected end of data", 'a field that starts with "'),
    ],
)
def test_tables_that_are_none(text, where, message, hint):
    with pytest.raises(DataError) as caught:
        labels_of(["a.fa"], table=table(text))
    assert (caught.value.where, caught.value.message) == (where, message)
    assert caught.value.hint == hint or caught.value.hint.startswith(hint)


def test_a_table_in_another_encoding(folder):
    (folder / "t.tsv").write_bytes("id\tlabel\na1\tEscherichia cöli\n".encode("latin-1"))
    with pytest.raises(DataError, match="'Escherichia cöli' is not UTF-8") as caught:
        labels_of(["a.fa"], table="t.tsv")
    assert (caught.value.where, caught.value.hint) == ("t.tsv, line 2", "save the table as UTF-8")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_table_of_excel_in_utf_16(folder, encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (folder / "t.txt").write_bytes(f"{mark}id\tlabel\r\na1\tEscherichia cöli\r\n".encode(encoding))
    assert labels_of(["a.fa"], table="t.txt") == {"a1": Label("Escherichia cöli")}
    (folder / "t.txt").write_bytes((folder / "t.txt").read_bytes()[:-1])
    with pytest.raises(DataError, match="not a readable table"):
        labels_of(["a.fa"], table="t.txt")


def test_a_table_with_semicolons():
    path = table('id;label;size\na1;"Bacteria;Firmicutes";1,5\nb1;y;\n')
    assert labels_of(["a.fa", "b.fa"], table=path) == {"a1": Label("Bacteria;Firmicutes"), "b1": Label("y"), "b2": Label()}


@pytest.mark.parametrize(
    "text",
    [
        "id,label\n,,\na1,x\n , \n\u00a0,,,\n",
        "sep=;\nid;label\na1;x\n;;\n",
        '"sep=,"\r\nid,"label;rank"\r\na1,x\r\n',
        "\ufeffSEP=\t\nid\tlabel, of old\na1\tx\n",
        " id ;label\u00a0\na1;x\n",
    ],
)
def test_what_excel_leaves_in_a_table_does_no_harm(text):
    label = next(name for name in ("label;rank", "label, of old", "label") if name in text)
    assert labels_of(["a.fa"], table=table(text), label_column=label) == {"a1": Label("x")}


def test_lines_are_counted_from_the_file_s_first_also_below_a_row_of_several():
    path = table('sep=,\nid,label,note\na1,x,"a\nnote"\nb1,y,\nb1,z,\n')
    with pytest.raises(DataError, match="id 'b1' has label 'z' here and 'y' in line 5") as caught:
        labels_of(["a.fa"], table=path)
    assert caught.value.where == "labels.tsv, line 6"


def test_a_table_that_is_not_there():
    with pytest.raises(InputMissing, match="no such file"):
        labels_of(["a.fa"], table="absent.tsv")


def test_the_same_row_twice_is_no_contradiction():
    assert len(read_label_table(table("id\tlabel\na1\tx\na1\tx\n"), Columns())) == 1


def test_a_split_of_another_name_is_named_with_its_line():
    path = table("id\tlabel\tsplit\na1\tx\ttrain\nb1\ty\tholdout\n")
    with pytest.raises(DataError, match="found split 'holdout', expected train, validation, test") as caught:
        labels_of(["a.fa"], table=path, read_split=True)
    assert caught.value.where == "labels.tsv, line 3"
    assert labels_of(["a.fa"], table=path, allow_missing=True) == {"a1": Label("x")}  # nobody asked for the split


# --- labels that are written in several ways


NFC, NFD = "\u00e9coli", "e\u0301coli"


def test_white_space_around_a_label_and_marks_apart_make_no_other_class(folder):
    tree(f"data/{NFD}/1.fa", f"data/ {NFC}\u00a0/2.fa", "data/y/3.fa")
    assert {file.label for file in find_source_files(["data", f"{NFD}\u2003=a.fa"])} == {NFC, "y"}
    path = table(f"id\tlabel\tgroup\na1\t{NFD}\u00a0\t{NFD}\nb1\t\u2003{NFC}\t{NFC} \nb1\t{NFD}\t{NFD}\n")
    assert labels_of(["a.fa", "b.fa"], table=path) == {"a1": Label(NFC, NFC), "b1": Label(NFC, NFC), "b2": Label()}
    (folder / "h.fa").write_text(f">h kind={NFD}|\nACGT\n")
    assert labels_of(["h.fa"], regex="kind=([^|]*)") == {"h": Label(NFC)}


def test_labels_that_look_the_same():
    assert look_alikes(["E. coli", "E.\u00a0coli", "e.  coli", "E.coli", "x", "\uff38"]) == [
        ["E. coli", "E.\xa0coli", "e.  coli"],
        ["x", "\uff38"],
    ]
    assert look_alikes(["stra\u00dfe", "STRASSE", "\ufb01n", "fin"]) == [["STRASSE", "stra\xdfe"], ["fin", "\ufb01n"]]


def test_of_many_names_the_first_are_said_and_how_many_more():
    assert listed(["a"]) == "a"
    assert listed(list("abcde")) == "a, b, c, d, e"
    assert listed(list("abcdef")) == "a, b, c, d, e and 1 more"
    assert listed(["x"] * 2_003, most=3) == "x, x, x and 2,000 more"
    assert look_alikes(["a", "b", "\u00e9", "e"]) == []


# --- the header, and intervals


@pytest.mark.parametrize("pattern", [r"host=(\w+)", r"(?:host)=(?P<label>\w+)", r"(h)ost=(?P<label>\w+)"])
def test_a_pattern_on_the_header(pattern):
    assert labels_of(["a.fa", "b.fa"], regex=pattern) == {"a1": Label("Homo"), "b1": Label("Mus"), "b2": Label()}


def test_a_pattern_sees_the_id_too():
    assert labels_of(["b.fa"], regex=r"^b(\d)") == {"b1": Label("1"), "b2": Label("2")}


@pytest.mark.parametrize(("pattern", "message"), [("host=", "has no group"), ("host=(", "is not a regular expression: missing")])
def test_patterns_that_are_none(pattern, message):
    with pytest.raises(UsageError, match=message):
        labels_of(["a.fa"], regex=pattern)


def test_a_pattern_sees_the_organism_of_a_flat_file(folder):
    lines = ["LOCUS       S1     4 bp    DNA", "SOURCE      x", "  ORGANISM  Mus musculus", "            Eukaryota; Chordata.", "ORIGIN"]
    (folder / "x.gb").write_text("\n".join([*lines, "        1 acgt", "//", ""]))
    assert labels_of(["x.gb"], regex=r"\[organism=(\w+)") == {"S1": Label("Mus")}
    assert labels_of(["x.gb"], regex=r"\[taxonomy=([^]]+)") == {"S1": Label("Eukaryota;Chordata")}


def test_a_pattern_that_finds_no_label_at_all():
    with pytest.raises(DataError) as caught:
        labels_of(["a.fa", "b.fa"], regex=r"hots=(\w+)")
    assert str(caught.value) == (
        "--label-regex 'hots=(\\\\w+)' finds no label in any of 3 headers\n  hint: what was searched, of the first: 'a1 host=Homo sapiens'"
    )


def test_a_description_is_not_read_unasked():
    assert labels_of(["a.fa"]) == {"a1": Label()}


def test_intervals_are_labelled_by_name_and_know_their_contig(folder):
    (folder / "genome.fa").write_text(">chr1\nACGTTTTTAC\n>chr2\nGGGGCCCCAA\n")
    (folder / "regions.bed").write_text("chr1\t0\t4\tpromoter\nchr2\t2\t6\t.\t0\t-\n")
    settings = LabelSettings(intervals="regions.bed", genome="genome.fa")
    items = list(labelled_records([], build_labeller([], settings, read_split=False), settings))
    assert [(item.record.sequence, item.known.label, item.sequence_name) for item in items] == [
        (b"ACGT", "promoter", "chr1"),
        (b"GGCC", "", "chr2"),
    ]


def intervals_of(names: list[str]) -> list[str]:
    Path("genome.fa").write_text(f">chr1\n{'ACGT' * 30}\n")
    Path("regions.bed").write_text("".join(f"chr1\t{place}\t{place + 20}\t{name}\n" for place, name in enumerate(names)))
    settings = LabelSettings(intervals="regions.bed", genome="genome.fa")
    return [item.known.label for item in labelled_records([], build_labeller([], settings, read_split=False), settings)]


def test_names_of_single_intervals_are_no_classes():
    peaks = [f"peak_{number}" for number in range(1, 13)]
    with pytest.raises(DataError) as caught:
        intervals_of([*peaks, "."])
    assert str(caught.value) == (
        "regions.bed: 12 regions have 12 names in column 4, such as 'peak_1': expected classes\n"
        "  hint: column 4 holds the class (enhancer, promoter); all regions stand in one BED file"
    )
    assert len(intervals_of(peaks[:9])) == 9
    assert len(intervals_of([*peaks, "x", "x", "x"])) == 15


@pytest.mark.parametrize("name", ["enh.bed", "enh.BED.gz", "enh.narrowPeak"])
def test_a_class_of_bed_files_is_sent_to_intervals(folder, name):
    (folder / name).write_text("chr1\t0\t30\n")
    with pytest.raises(UsageError, match="is a BED file, which --intervals takes") as caught:
        labels_of([f"enh={name}", "pro=a.fa"], genome="a.fa")
    assert caught.value.hint.endswith("column 4 holds the class (enhancer, promoter); all regions stand in one BED file")
    with pytest.raises(DataError, match="expected FASTA") as unread:
        labels_of([f"enh={name}"])
    assert unread.value.hint.startswith("a BED table? --intervals takes it")


def test_standard_input(monkeypatch, folder):
    with (folder / "a.fa").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert labels_of(["x=-"]) == {"a1": Label("x")}


# --- options that don't fit together


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ([], {}, "no input"),
        (["a.fa"], {"table": "t.tsv", "regex": "(x)"}, "--labels and --label-regex both give labels"),
        (["a.fa"], {"intervals": "x.bed"}, "--intervals and --genome go together"),
        (["a.fa"], {"genome": "x.fa"}, "--intervals and --genome go together"),
        (["x=a.fa"], {"table": "t.tsv"}, "--labels has nothing to label"),
        (["x=a.fa"], {"regex": "(x)"}, "--label-regex has nothing to label"),
        (["x=a.fa", "b.fa"], {}, r"b\.fa has no label, other inputs have"),
        (["a.fa"], {"read_split": True}, "--split column needs a label table"),
        (["a.fa"], {"group_column": "genus"}, "--group-column says something about --labels, which is not given"),
        (["a.fa"], {"allow_missing": True}, "--allow-missing says something about --labels"),
        (["a.fa"], {"table": "t.tsv", "split_column": "fold"}, "--split-column is read only with --split column"),
    ],
)
def test_options_that_contradict_each_other(sources, options, message):
    with pytest.raises(UsageError, match=message):
        labels_of(sources, **options)
