"""Sequence files in, a dataset out: exactly this one; every record accounted for; nothing left behind by a failure."""

import csv
import errno
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from threading import Event
from typing import get_args

import numpy as np
import pytest
from small_data import two_classes

from genomix.cli.choices import Strand
from genomix.cli.main import main
from genomix.cli.sources import Conflicts, SplitMethod
from genomix.data import preprocess as preprocessing
from genomix.data import reading, sketches, store
from genomix.data.cleaning import CleaningSettings
from genomix.data.info import summary_lines
from genomix.data.labels import LabelSettings
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.data.store import Dataset
from genomix.errors import DataError, OutputError, UsageError
from genomix.records import decode_bases
from genomix.report.content import data_facts
from genomix.runs import _data_summary
from genomix.tokenizers import TokenizerSettings
from genomix.train.recipe import training_records

STRATIFIED = SplitSettings(method="stratified")
COMPLEMENT = str.maketrans("ACGTacgtNn", "TGCAtgcaNn")


def reverse(sequence: str) -> str:
    return sequence.translate(COMPLEMENT)[::-1]


def bases(number: int, length: int = 60) -> str:
    """The sequence of this number; others have nothing to do with it."""
    return "".join("ACGT"[byte % 4] for byte in hashlib.shake_128(str(number).encode()).digest(length))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fasta(name: str, sequences: dict[str, str] | list[tuple[str, str]]) -> str:
    pairs = sequences.items() if isinstance(sequences, dict) else sequences
    Path(name).write_text("".join(f">{header}\n{sequence}\n" for header, sequence in pairs))
    return name


def made(sources: list[str], output: str = "out", **settings) -> Dataset:
    return preprocess(sources, PreprocessSettings(**{"split": STRATIFIED, **settings}), output)


def rejected(dataset: Dataset) -> list[tuple[str, str, str]]:
    """id, reason and detail of each record left out."""
    with (dataset.folder / "rejected.tsv").open(newline="") as file:
        return [(row["id"], row["reason"], row["detail"]) for row in csv.DictReader(file, delimiter="\t")]


def sequences(dataset: Dataset) -> dict[str, str]:
    return {name: decode_bases(dataset.codes(number).tobytes()) for number, name in enumerate(dataset.records["id"])}


def two_files(**extra: str) -> list[str]:
    """Two classes of four records."""
    x = {f"x{number}": bases(number) for number in range(4)}
    y = {f"y{number}": bases(10 + number) for number in range(4)}
    return [f"x={fasta('x.fa', x | extra)}", f"y={fasta('y.fa', y)}"]


# --- the dataset


def test_the_golden_dataset(folder):
    fasta("x.fa", [("a", "ACGTN" * 4), ("b said something", "ttuuGGccAAgGcCtTaAgC"), ("c", "GATTACAGATTACAGATTAC")])
    fasta("y.fa", [("d", "CCCCCGGGGGCCCCCGGGGGA"), ("e", "C" * 19), ("f", "AACCGGTTAACCGGTTAACG"), ("g", "TTTTTGGGGGCATCATCATCAT")])
    dataset = made(["x=x.fa", "y y=y.fa"])
    assert (folder / "out/records.tsv").read_text() == (
        "id\tlabel\tgroup\tsplit\tlength\toffset\tsource\tsequence\tcluster\n"
        "a\tx\t\ttest\t20\t0\tx.fa\ta\t0\n"
        "b\tx\t\ttrain\t20\t20\tx.fa\tb\t1\n"
        "c\tx\t\tvalidation\t20\t40\tx.fa\tc\t2\n"
        "d\ty y\t\tvalidation\t21\t60\ty.fa\td\t3\n"
        "f\ty y\t\ttrain\t20\t81\ty.fa\tf\t4\n"
        "g\ty y\t\ttest\t22\t101\ty.fa\tg\t5\n"
    )
    assert (folder / "out/rejected.tsv").read_text() == (
        "id\tsource\tordinal\treason\tdetail\ne\ty.fa\t2\ttoo_short\t19 bases, at least 20 wanted\n"
    )
    assert sequences(dataset)["a"] == "ACGTN" * 4
    assert sequences(dataset)["b"] == "TTTTGGCCAAGGCCTTAAGC"


def test_what_a_dataset_says_of_itself(folder):
    dataset = made(two_files(short="ACGT"), cleaning=CleaningSettings(min_length=10), circular=True)
    info = json.loads((folder / "out/dataset.json").read_text())
    assert info == dataset.info
    assert info["schema_version"] == 1
    assert info["counts"] == {
        "records": 8,
        "bases": 480,
        "rejected": {"too_short": 1},
        "classes": {"x": 4, "y": 4},
        "splits": {"train": 4, "validation": 2, "test": 2},
    }
    assert {key: info["split"][key] for key in ("method", "seed", "fractions", "clusters", "largest_cluster")} == {
        "method": "stratified",
        "seed": 0,
        "fractions": [0.7, 0.15, 0.15],
        "clusters": 8,
        "largest_cluster": 1,
    }
    assert info["split"]["records"] == {name: {"train": 2, "validation": 1, "test": 1} for name in "xy"}
    assert info["circular"] is True
    for source, label in zip(info["sources"], "xy", strict=True):
        content = (folder / f"{label}.fa").read_bytes()
        assert source == {"path": f"{label}.fa", "label": label, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    for name in ("records.tsv", "bases.npy", "similarity.tsv"):
        content = (folder / "out" / name).read_bytes()
        assert info["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert PreprocessSettings.model_validate(info["settings"]).cleaning.min_length == 10


def test_the_same_input_gives_the_same_dataset(folder):
    sources = two_classes(folder)
    first, second = (preprocess(sources, PreprocessSettings(), name) for name in ("one", "two"))
    assert first.digest == second.digest
    assert preprocess(sources, PreprocessSettings(split=SplitSettings(seed=1)), "three").digest != first.digest


def test_unlabelled_data_have_no_split(folder):
    dataset = made([fasta("x.fa", {"a": bases(1), "b": bases(2)})], split=SplitSettings(seed=1))
    assert dataset.classes == ()
    assert dataset.label_ids.tolist() == [-1, -1]
    assert set(dataset.records["split"]) == set(dataset.records["cluster"]) == {""}


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (["--split", "stratified"], "--split (data.split.method)"),
        (["--fractions", ".8", ".1", ".1"], "--fractions (data.split.fractions)"),
        (["--similarity", ".9"], "--similarity (data.split.similarity)"),
        (["--min-class", "3"], "--min-class (data.cleaning.min_class)"),
    ],
)
def test_what_needs_labels_is_refused_without_them_where_someone_asks_for_it(folder, capsys, words, setting):
    fasta("x.fa", {"a": bases(1), "b": bases(2)})
    assert main(["preprocess", "x.fa", *words, "-o", "out"]) == 2
    assert f"{setting} needs labels, and nothing says what those of the records are" in capsys.readouterr().err
    (folder / "run.toml").write_text('[data.cleaning]\nmin_class = 3\n[data.split]\nmethod = "group"\nfractions = [0.8, 0.1, 0.1]\n')
    assert main(["preprocess", "x.fa", "--config", "run.toml", "-o", "out"]) == 0
    assert main(["preprocess", "x.fa", "--split", "column", "-o", "other"]) == 2
    assert "--split column needs a label table" in capsys.readouterr().err


def test_standard_input_has_no_checksum(folder, monkeypatch):
    sources = two_files()
    with (folder / "x.fa").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        dataset = made(["x=-", sources[1]])
    assert dataset.info["sources"][0] == {"path": "-", "label": "x", "bytes": None, "sha256": None}
    assert dataset.records["source"].tolist() == ["-"] * 4 + ["y.fa"] * 4
    assert dataset.digest != made(sources, "files").digest  # where a record came from is part of the table


# --- what is left out


def test_every_reason_for_leaving_a_record_out():
    Path("t.tsv").write_text(
        "id\tlabel\tsplit\n"
        + "".join(f"{c}{i}\t{c}\ttrain\n" for c in "xy" for i in range(4))
        + "empty\tx\ttrain\nshort\tx\ttrain\nn\tx\ttrain\nblank\t\ttrain\nnowhere\tx\t\ntwice\tx\ttrain\n"
    )
    records = {f"{c}{i}": bases(i + 10 * (c == "y")) for c in "xy" for i in range(4)}
    records |= {"empty": "", "short": "ACGTACGT", "n": "ACGT" + "N" * 30, "blank": bases(20), "absent": bases(21), "nowhere": bases(22)}
    records |= {"twice": reverse(bases(0))}
    dataset = made([fasta("x.fa", records)], labels=LabelSettings(table="t.tsv"), split=SplitSettings(method="column"))
    assert rejected(dataset) == [
        ("empty", "empty", "no bases"),
        ("short", "too_short", "8 bases, at least 20 wanted"),
        ("n", "too_ambiguous", "30 of 34 letters are not A, C, G or T, at most 0.5 of them may be"),
        ("blank", "no_label", "no label was given for it"),
        ("absent", "no_label", "no label was given for it"),
        ("nowhere", "no_split", "its split is empty in the label table"),
        ("twice", "duplicate", "the same sequence as x.fa, record 1 ('x0')"),
    ]
    assert len(dataset) == 8


@pytest.mark.parametrize("again", [bases(0), bases(0).lower(), reverse(bases(0)), bases(0).replace("T", "U")])
def test_a_sequence_is_kept_once_however_it_is_written(again):
    assert rejected(made(two_files(again=again))) == [("again", "duplicate", "the same sequence as x.fa, record 1 ('x0')")]


def test_sequences_with_the_same_ends_are_not_the_same():
    end, other = bases(50, 100), bases(51, 100)
    records = {f"m{number}": end + bases(60 + number, 10) + other for number in range(5)}
    dataset = made(two_files(**records, m5=reverse(records["m3"]), m6=records["m0"]))
    assert [name for name, _, _ in rejected(dataset)] == ["m5", "m6"]
    assert {name: sequences(dataset)[name] for name in records} == records


def test_the_other_strand_is_another_sequence_where_strands_differ():
    dataset = made(two_files(again=reverse(bases(0))), strand="forward")
    assert rejected(dataset) == []


def test_one_sequence_with_two_labels_is_an_error_that_names_both():
    sources = [*two_files(), f"z={fasta('z.fa', {'z0': reverse(bases(2))})}"]
    with pytest.raises(DataError) as caught:
        made(sources)
    assert str(caught.value) == (
        "z.fa, record 1 ('z0'): the same sequence as x.fa, record 3 ('x2'), but label 'z' here and 'x' there\n"
        "  hint: correct the labels, or leave all such records out with --conflicts drop"
    )


def test_an_id_may_return_with_another_sequence_and_another_label(caplog):
    sources = [f"{name}={fasta(f'{name}.fa', [(f'k141_{n}', bases(n + 10 * (name == 'y'))) for n in range(4)])}" for name in "xy"]
    for conflicts in ("error", "drop"):
        dataset = made(sources, conflicts, cleaning=CleaningSettings(conflicts=conflicts))
        assert rejected(dataset) == []
        assert dataset.records["id"].tolist() == [f"k141_{n}" for n in range(4)] * 2
        assert dataset.records["label"].tolist() == ["x"] * 4 + ["y"] * 4
        assert decode_bases(dataset.codes(5).tobytes()) == bases(11)
        assert "4 records have the id of an earlier one, but another sequence: all are kept" in caplog.text


def test_conflicts_can_be_dropped_and_then_all_of_them_are_and_no_others():
    z = [("z0", bases(30)), ("z1", bases(40)), ("v", bases(41)), ("z3", bases(30)), ("z4", bases(44)), ("b", bases(32)), ("b", bases(45))]
    sources = [
        *two_files(u=bases(30), v=bases(31), w=bases(32), x=bases(33)),
        f"z={fasta('z.fa', z)}",
        f"x={fasta('more.fa', {'again': bases(30)})}",
    ]
    dataset = made(sources, cleaning=CleaningSettings(conflicts="drop"))
    assert sorted((name, reason) for name, reason, _ in rejected(dataset)) == [
        ("again", "sequence_conflict"),
        ("b", "sequence_conflict"),
        ("u", "sequence_conflict"),
        ("w", "sequence_conflict"),
        ("z0", "sequence_conflict"),
        ("z3", "sequence_conflict"),
    ]
    assert dataset.records["id"].tolist() == [*(f"x{i}" for i in range(4)), "v", "x", *(f"y{i}" for i in range(4)), "z1", "v", "z4", "b"]
    assert sequences(dataset)["x"] == bases(33)  # it lies behind a gap
    assert sequences(dataset)["b"] == bases(45)


def test_an_id_may_return_with_another_sequence_and_the_same_label(caplog):
    y = two_files()[1]
    dataset = made([f"x={fasta('x.fa', [('a', bases(number)) for number in range(4)])}", y])
    assert len(dataset) == 8
    assert "3 records have the id of an earlier one, but another sequence: all are kept" in caplog.text


def test_records_without_an_id_are_not_of_one_id():
    dataset = made([f"x={fasta('x.fa', [('', bases(n)) for n in range(3)])}", f"y={fasta('y.fa', [('', bases(9 + n)) for n in range(3)])}"])
    assert dataset.records["id"].tolist() == [""] * 6


def test_an_aligned_file_is_told_with_its_share_of_gaps(caplog):
    x = {f"x{n}": f"{bases(n)}{'-' * 10}{'.' * 10}{bases(20 + n)}" for n in range(4)}
    y = {f"y{n}": f"{bases(10 + n)}--{bases(30 + n)}" for n in range(4)}
    z = {f"z{n}": f"{bases(40 + n)}-{bases(50 + n)}" for n in range(4)}
    dataset = made([f"{name}={fasta(f'{name}.fa', each)}" for name, each in (("y", y), ("x", x), ("z", z))])
    assert dataset.lengths.tolist() == [122] * 4 + [140] * 4 + [121] * 4
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "x.fa: 14.3 % of the letters are gaps, '-' or '.', as in an alignment (and more than 1 % in 1 other file); they are read as unknown bases, "
    )


def test_no_record_left():
    with pytest.raises(DataError) as caught:
        made([f"x={fasta('x.fa', {'a': 'ACGT', 'b': '', 'c': 'AC'})}"])
    assert str(caught.value) == "no record is left: 1 empty, 2 too_short\n  hint: the first: x.fa, record 1: 4 bases, at least 20 wanted"


def test_one_class_only():
    with pytest.raises(DataError, match="all records are of one class, 'x'"):
        made([two_files()[0]])


def test_a_class_smaller_than_the_splits():
    with pytest.raises(DataError, match="class 'z' has 2 records, expected at least 3: one a split"):
        made([*two_files(), f"z={fasta('z.fa', {'z0': bases(50), 'z1': bases(51)})}"])


@pytest.mark.parametrize("count", [2, 13])
def test_all_classes_smaller_than_the_splits_are_named_up_to_ten(count):
    small = [f"s{c:02}={fasta(f's{c}.fa', {f's{c}_{n}': bases(100 + 2 * c + n) for n in range(1 + c % 2)})}" for c in range(count)]
    with pytest.raises(DataError) as caught:
        made([*two_files(), *small])
    named = ", ".join(f"'s{c:02}' ({1 + c % 2})" for c in range(min(count, 10)))
    more = " and 3 more" if count == 13 else ""
    expected = f"{count} of {count + 2} classes have too few records, expected at least 3: one a split: {named}{more}"
    assert caught.value.message == expected
    assert "leave them out with --min-class 3" in caught.value.hint


def test_small_classes_are_left_out_where_that_is_asked_for(folder, caplog):
    doubles = {"z0": bases(50), "z1": bases(51), "again": bases(50), "short": "ACGT"}
    sources = [*two_files(), f"z={fasta('z.fa', doubles)}", f"v={fasta('v.fa', {'v0': bases(60)})}"]
    with caplog.at_level("INFO"):
        dataset = made(sources, cleaning=CleaningSettings(min_class=3))
    assert rejected(dataset) == [
        ("again", "duplicate", "the same sequence as z.fa, record 1 ('z0')"),
        ("short", "too_short", "4 bases, at least 20 wanted"),
        ("z0", "small_class", "class 'z' has 2, at least 3 wanted"),
        ("z1", "small_class", "class 'z' has 2, at least 3 wanted"),
        ("v0", "small_class", "class 'v' has 1, at least 3 wanted"),
    ]
    assert dataset.classes == ("x", "y")
    assert dataset.info["counts"]["rejected"] == {"duplicate": 1, "small_class": 3, "too_short": 1}
    assert "classes of fewer than 3 records left out: 2, with 3 records" in caplog.messages
    assert "no record of class" not in caplog.text


@pytest.mark.parametrize("method", ["cluster", "group", "sequence", "column"])
def test_small_classes_are_left_out_before_any_split(method):
    fasta("all.fa", {f"r{number}": bases(number) for number in range(14)})
    labels = ["a;b"] * 6 + ["a;c"] * 6 + ["d;e"] * 2
    splits = (["train"] * 4 + ["val", "test"]) * 2 + ["test"] * 2
    rows = [f"r{number}\t{label}\tg{number}\t{split}" for number, (label, split) in enumerate(zip(labels, splits, strict=True))]
    Path("t.tsv").write_text("\n".join(["id\tlabel\tgroup\tsplit", *rows]))
    options = ["--labels", "t.tsv", "--split", method, "-o", "out"]
    assert main(["preprocess", "all.fa", *options]) == 65
    assert main(["preprocess", "all.fa", "--min-class", "3", *options]) == 0
    assert Dataset.open("out").classes == ("a;b", "a;c")
    assert [reason for _, reason, _ in rejected(Dataset.open("out"))] == ["small_class"] * 2


@pytest.mark.parametrize("words", [["NA", "N/A"], ["nan", "None"], ["NaN", "null"], ["#N/A", "<NA>"]])
def test_words_for_no_label_are_classes_with_a_warning(words, caplog):
    labels = [words[0]] * 6 + [words[1]] * 3 + ["Nancy"] * 3 + [""]
    fasta("all.fa", {f"r{number}": bases(number) for number in range(len(labels))})
    Path("t.tsv").write_text("".join(["id\tlabel\n", *(f"r{number}\t{label}\n" for number, label in enumerate(labels))]))
    dataset = made(["all.fa"], labels=LabelSettings(table="t.tsv"))
    assert dataset.classes == tuple(sorted((*words, "Nancy")))
    named = ", ".join(f"{word!r} ({6 if word == words[0] else 3} records)" for word in sorted(words))
    assert f"read as names of classes: {named}; where no label was meant leave the cell empty" in caplog.messages


@pytest.mark.parametrize(
    ("circular", "said"),
    [
        (
            None,
            "4 of 10 records are circular, as their file says (LOCUS or ID), and are taken as linear: --circular takes all records as circular",
        ),
        (True, "3 of 10 records are linear, as their file says (LOCUS or ID), and are taken as circular: is --circular right?"),
    ],
)
def test_molecules_that_are_taken_for_what_their_file_denies(circular, said, caplog):
    entries = [
        f"LOCUS       g{number}  60 bp    DNA     {'circular' if number < 4 else 'linear  '} BCT 01-JAN-1980\nORIGIN\n        1 {bases(number).lower()}\n//\n"
        for number in range(7)
    ]
    Path("g.gb").write_text("".join(entries))
    made([f"x={fasta('x.fa', {f'x{number}': bases(20 + number) for number in range(3)})}", "g=g.gb"], circular=circular)
    assert [message for message in caplog.messages if "LOCUS" in message] == [said]


def test_no_record_is_left_where_all_classes_are_small():
    with pytest.raises(DataError, match="no record is left: 8 small_class"):
        made(two_files(), cleaning=CleaningSettings(min_class=5))


# --- splits


def labelled(splits: str, *, groups: str = "") -> tuple[list[str], LabelSettings]:
    """Two classes of records with the splits and groups that the letters say, class by class in turn."""
    fasta("x.fa", {f"r{number}": bases(number) for number in range(len(splits))})
    names = {"t": "train", "v": "val", "e": "test"}
    rows = [f"r{n}\t{'xy'[n % 2]}\t{groups[n] if groups else ''}\t{names.get(letter, letter)}\n" for n, letter in enumerate(splits)]
    Path("t.tsv").write_text("id\tlabel\tgroup\tsplit\n" + "".join(rows))
    return ["x.fa"], LabelSettings(table="t.tsv")


def test_a_split_column_is_taken_as_it_is():
    sources, labels = labelled("ttttvvee")
    dataset = made(sources, labels=labels, split=SplitSettings(method="column"))
    assert dataset.records["split"].tolist() == ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    assert dataset.info["split"]["notes"] == []


def test_fractions_that_a_split_column_leaves_nothing_to_are_warned_of_and_not_written_down(caplog):
    sources, labels = labelled("ttttvvee")
    column, asked = SplitSettings(method="column"), SplitSettings(method="column", fractions=(0.5, 0.25, 0.25))
    assert made(sources, "one", labels=labels, split=column).info["split"]["fractions"] is None
    assert caplog.messages == []
    assert made(sources, "two", labels=labels, split=asked).info["split"]["fractions"] is None
    assert caplog.messages == ["--fractions (data.split.fractions) has no effect: the label table gives every record's split"]
    caplog.clear()
    sources, labels = labelled("tttttttttteeee")
    carved = made(sources, "three", labels=labels, split=asked)
    assert (carved.info["split"]["fractions"], carved.info["counts"]["splits"]["validation"]) == ([0.5, 0.25, 0.25], 3)
    assert caplog.messages == []


def test_a_split_column_that_names_test_records_only():
    fasta("x.fa", {f"x{number}": bases(number) for number in range(8)})
    table = "id\tlabel\tsplit\n" + "".join(f"x{number}\t{'ab'[number % 2]}\ttest\n" for number in range(8))
    Path("t.tsv").write_text(table)
    dataset = made(["x.fa"], labels=LabelSettings(table="t.tsv"), split=SplitSettings(method="column"))
    assert dataset.records["split"].tolist() == ["test"] * 8
    assert dataset.info["split"]["notes"] == ["the split column names test records only: a dataset to evaluate models on, not to train"]
    with pytest.raises(DataError, match="no record is in the training split"):
        training_records(dataset, TokenizerSettings())


def test_a_named_split_column_means_that_it_is_used():
    sources, labels = labelled("ttttvvee")
    dataset = made(sources, labels=labels.model_copy(update={"split_column": "split"}), split=SplitSettings())
    assert dataset.info["split"]["method"] == "column"


def test_validation_is_carved_from_train_where_the_column_names_none():
    sources, labels = labelled("tttttttttteeee")
    dataset = made(sources, labels=labels, split=SplitSettings(method="column"))
    assert dataset.records["split"].tolist()[10:] == ["test"] * 4
    assert sorted(dataset.records["split"][:10]) == ["train"] * 8 + ["validation"] * 2
    [note] = dataset.info["split"]["notes"]
    assert "names no validation records" in note
    assert dict(data_facts(_data_summary(dataset)))["split"].endswith(f"; {note}")


def test_validation_is_carved_with_the_table_s_groups_kept_together():
    sources, labels = labelled("t" * 24 + "eeee", groups="abcdefghijklabcdefghijklwxyz")
    dataset = made(sources, labels=labels, split=SplitSettings(method="column"))
    sides = dataset.records[dataset.records["split"] != "test"].groupby("group")["split"].nunique()
    assert (sides == 1).all()
    assert set(dataset.records["split"]) == {"train", "validation", "test"}
    assert dataset.info["split"]["notes"][0].endswith("near-duplicates and groups kept together")


def test_a_class_of_relatives_alone_does_not_make_the_others_validation_a_lottery():
    sources, labels = labelled("t" * 24 + "eeee", groups="aqbqcqdqeqfqaqbqcqdqeqfqwxyz")
    dataset = made(sources, labels=labels, split=SplitSettings(method="column"))
    carved = dataset.records[dataset.records["split"] != "test"]
    assert (carved[carved["label"] == "x"].groupby("group")["split"].nunique() == 1).all()
    assert all(set(part["split"]) == {"train", "validation"} for _, part in carved.groupby("label"))
    assert dataset.info["split"]["notes"][0].endswith("kept together, but for those of 'y', all relatives of each other")
    assert dataset.info["split"]["divided_groups"] == 0, "the table divides none"


def test_a_class_of_one_training_record_keeps_it_where_validation_is_carved():
    sources, labels = labelled("tteetetetetete")
    dataset = made(sources, labels=labels, split=SplitSettings(method="column"))
    assert dataset.records[dataset.records["label"] == "x"]["split"].value_counts().to_dict() == {"train": 5, "validation": 1, "test": 1}
    assert dataset.info["split"]["held_back"] == ["class 'y' has no record in validation: expected at least 1"]
    [_, note] = dataset.info["split"]["notes"][0].split("; ")
    assert note == "training records of 'y' are too few to take any from"


def test_a_class_that_the_column_leaves_out_of_train():
    sources, labels = labelled("tetetev")
    with pytest.raises(DataError, match="class 'y' has no record in train"):
        made(sources, labels=labels, split=SplitSettings(method="column"))


def test_a_group_stays_together_and_a_record_without_one_is_its_own():
    sources, labels = labelled("t" * 24, groups="abcdefghijabcdefghij" + "    ")
    dataset = made(sources, labels=labels, split=SplitSettings(method="group"))
    records = dataset.records
    assert records.groupby("group")["split"].nunique().drop("").max() == 1
    assert set(records["split"]) == {"train", "validation", "test"}
    assert dataset.info["split"]["notes"] == ["4 records have no group: each is a group of its own"]


@pytest.mark.parametrize("method", [None, "stratified"])
def test_groups_on_several_sides_are_told(caplog, method):
    sources, labels = labelled("t" * 24, groups="abcdefghijklabcdefghijkl")
    dataset = made(sources, labels=labels, split=SplitSettings(method=method))
    count = int((dataset.records.groupby("group")["split"].nunique() > 1).sum())
    assert dataset.info["split"]["divided_groups"] == count > 0
    assert f"{count} of 12 groups have records on several sides of the split, which is by {method or 'cluster'}" in caplog.text
    assert "--split group" in caplog.text


def test_groups_that_are_kept_together_are_not_warned_of(caplog):
    sources, labels = labelled("t" * 24, groups="abcdefghijklabcdefghijkl")
    assert made(sources, labels=labels, split=SplitSettings(method="group")).info["split"]["divided_groups"] == 0
    assert caplog.text == ""


def test_groups_that_the_table_s_own_split_divides_are_told(caplog):
    sources, labels = labelled("ttttvvee", groups="abcdabab")
    dataset = made(sources, labels=labels, split=SplitSettings(method="column"))
    assert dataset.info["split"]["divided_groups"] == 2
    assert "2 of 4 groups have records on several sides of your split column: figures of held-out records" in caplog.text
    assert _data_summary(dataset).divided_groups == 2


@pytest.mark.parametrize(("method", "what"), [("group", "group"), ("sequence", "source sequence")])
def test_groups_of_single_records_are_told(caplog, method, what):
    sources, labels = labelled("t" * 24, groups="abcdefghijklmnopqrst    ")
    made(sources, labels=labels, split=SplitSettings(method=method))
    assert f"every record has a {what} of its own, so nothing is kept together" in caplog.text


def test_groups_that_nobody_gave():
    with pytest.raises(DataError, match="--split group, but no record has a group") as caught:
        made(two_files(), split=SplitSettings(method="group"))
    assert "--group-column" in caught.value.hint


def test_a_source_sequence_stays_together(folder):
    contigs = {f"chr{number}": bases(number, 400) for number in range(6)}
    fasta("g.fa", contigs)
    regions = [
        f"{name}\t{start}\t{start + 50}\t{label}\n" for name in contigs for start, label in ((0, "x"), (60, "y"), (200, "x"), (300, "y"))
    ]
    Path("r.bed").write_text("".join(regions))
    dataset = made([], labels=LabelSettings(intervals="r.bed", genome="g.fa"), split=SplitSettings(method="sequence"))
    assert dataset.records.groupby("sequence")["split"].nunique().tolist() == [1] * 6
    assert set(dataset.records["split"]) == {"train", "validation", "test"}
    assert dataset.records["id"][0] == "chr0:0-50(.)"


def test_regions_of_a_genome_are_not_circular(capsys):
    fasta("g.fa", {f"chr{number}": bases(number, 400) for number in range(6)})
    Path("r.bed").write_text(
        "".join(f"chr{n}\t{start}\t{start + 50}\t{label}\n" for n in range(6) for start, label in ((0, "x"), (60, "y")))
    )
    words = ["preprocess", "--intervals", "r.bed", "--genome", "g.fa", "-o", "out"]
    assert main([*words, "--circular"]) == 2
    assert capsys.readouterr().err == (
        "genomix: --circular says that molecules are circular, but a region that --intervals cuts out is linear\n  hint: leave out --circular\n"
    )
    content = hashlib.sha256(Path(fasta("x.fa", {f"x{number}": bases(number) for number in range(6)})).read_bytes()).hexdigest()
    head = 'name = "n"\ntitle = "t"\nlicence = "l"\nsource = "s"\ncircular = true\n'
    Path("m.toml").write_text(f'{head}[[sources]]\npath = "x.fa"\nlabel = "z"\nsha256 = "{content}"\n')
    assert main([*words, "--manifest", "m.toml"]) == 2
    assert "the manifest says that molecules are circular" in capsys.readouterr().err
    Path("linear.toml").write_text("[data]\ncircular = false\n")
    assert main([*words, "--manifest", "m.toml", "--config", "linear.toml"]) == 0


def test_near_duplicates_stay_together_by_default(folder):
    rng = np.random.default_rng(0)
    sources = []
    for name in "xy":
        records = {}
        for family in range(8):
            ancestor = rng.integers(0, 4, 2000)
            for copy in range(4):
                changed = np.where(rng.random(2000) < 0.005, rng.integers(0, 4, 2000), ancestor)
                records[f"{name}{family}_{copy}"] = "".join("ACGT"[base] for base in changed)
        sources.append(f"{name}={fasta(f'{name}.fa', records)}")
    dataset = made(sources, split=SplitSettings())
    records = dataset.records.assign(family=dataset.records["id"].str.split("_").str[0])
    assert records.groupby("family")["split"].nunique().max() == 1
    assert records.groupby("family")["cluster"].nunique().max() == 1
    figures = dataset.info["split"]
    assert (figures["clusters"], figures["largest_cluster"]) == (16, 4)
    assert figures["highest_similarity"] < 0.95
    apart = preprocess(sources, PreprocessSettings(split=STRATIFIED), "apart").info["split"]
    assert apart["highest_similarity"] > 0.98


# --- failures


def left_behind(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def test_a_failure_in_the_middle_leaves_nothing(folder):
    sources = two_files()
    (folder / "y.fa").write_text(">y\nACGT*\n")
    before = left_behind(folder)
    with pytest.raises(DataError, match=r"found '\*'"):
        made(sources)
    assert left_behind(folder) == before


def test_a_failure_does_not_wait_for_checksums(folder, monkeypatch):
    sources = two_files()
    (folder / "y.fa").write_text(">y\nACGT*\n" + ">z\nACGT\n" * 10_000)
    begun, hashed, digest = Event(), [], hashlib.sha256

    class Slow:
        """As slow as a file of gigabytes: one block, and then as many as there is time for before somebody has had enough."""

        def __init__(self):
            self._digest = digest()

        def update(self, block):
            hashed.append(len(block))
            begun.set()
            time.sleep(0.01)
            self._digest.update(block)

        def hexdigest(self):
            return self._digest.hexdigest()

    def fail(*_args, **_options):
        assert begun.wait(10)
        raise DataError("found nothing of use")

    monkeypatch.setattr(store, "_HASHED_BYTES", 16)
    monkeypatch.setattr(store.hashlib, "sha256", Slow)
    monkeypatch.setattr(preprocessing, "read_records", fail)
    with pytest.raises(DataError, match="found nothing of use"):
        made(["y=y.fa", *sources[:1]])
    assert sum(hashed) < 8_000


@pytest.mark.parametrize(("module", "name"), [(store.BasesWriter, "add"), (reading.RejectedTable, "add"), (store.BasesWriter, "finish")])
def test_a_full_disk(folder, monkeypatch, module, name):
    def write(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sources = two_files(short="ACGT")
    before = left_behind(folder)
    monkeypatch.setattr(module, name, write)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        made(sources)
    assert caught.value.hint == "free some space, or write elsewhere with -o"
    assert left_behind(folder) == before


def test_a_record_that_cannot_be_compared_is_told():
    fasta("z.fa", {"z1": "ACGTACGTACNACGTACGTA", "z2": bases(22), "z3": bases(23)})
    dataset = made([*two_files(), "z=z.fa"])
    assert "1 record without any 16-mer that is compared: no near-duplicates of those are known" in summary_lines(dataset.info)


def test_records_of_few_hashes_are_said_to_be_known_only_roughly(monkeypatch):
    dataset = made(two_files())
    assert dataset.info["split"]["median_hashes"] == 45  # 60 bases, and all 16-mers kept
    assert "near-duplicates are known only roughly: half of the records are compared by 45 16-mers or fewer" in summary_lines(dataset.info)
    sources = [f"{name}={fasta(f'{name}.fa', {f'{name}{n}': bases(n + 10 * (name == 'y'), 80) for n in range(4)})}" for name in "xy"]
    assert not [line for line in summary_lines(made(sources, "more").info) if "roughly" in line]
    monkeypatch.setattr(sketches, "MOST_HASHES", 8)
    thin = made(sources, "thin").info
    assert thin["split"]["median_hashes"] <= 2
    assert [
        line for line in summary_lines(thin) if "without any 16-mer that is compared" in line
    ]  # they have 16-mers, but none that is kept


def test_a_folder_that_exists_is_replaced_only_by_force(folder):
    sources = two_files()
    first = made(sources)
    with pytest.raises(OutputError, match="the output folder exists"):
        made(sources)
    again = preprocess(sources, PreprocessSettings(split=SplitSettings(method="stratified", seed=5)), "out", force=True)
    assert Dataset.open("out").digest == again.digest != first.digest


def test_a_manifest_with_files_beside_it():
    with pytest.raises(UsageError, match="--manifest names the sequence files itself"):
        made(["x.fa"], labels=LabelSettings(manifest="bacteria_strains"))


# --- the command


def test_the_command_prints_the_folder_and_says_what_is_in_it(capsys):
    code = main(["preprocess", *two_files(short="ACGT"), "-o", "out", "--split", "stratified", "--seed", "3"])
    out, err = capsys.readouterr()
    assert (code, out) == (0, "out\n")
    assert err.splitlines()[:3] == [
        "8 records of 2 classes, 480 bases",
        "left out: 1 too_short (each with its reason in rejected.tsv)",
        "split by stratified, seed 3: train 4, validation 2, test 2",
    ]
    found = "near-duplicates: 8 clusters at similarity 0.95, the largest of 1 record; "
    assert err.splitlines()[3] == f"{found}no two records on two sides of the split share a sketched 16-mer"


def test_the_summary_names_a_seed_only_where_one_was_drawn_with_and_what_is_most_alike():
    sources, labels = labelled("ttttvvee")
    info = made(sources, labels=labels, split=SplitSettings(method="column")).info
    assert "split by column: train 4, validation 2, test 2" in summary_lines(info)
    alike = info | {"split": info["split"] | {"highest_similarity": 0.9}}
    assert summary_lines(alike)[2].endswith("; the most alike records on two sides of the split: 0.9000")


def test_every_option_reaches_its_setting(capsys):
    sources, _ = labelled("ttttvvee")
    Path("t.tsv").write_text(Path("t.tsv").read_text().replace("id\tlabel\tgroup\tsplit", "i\tl\tg\ts") + "absent\tx\t\ttrain\n")
    columns = ["--id-column", "i", "--label-column", "l", "--group-column", "g", "--split-column", "s", "--allow-missing"]
    cleaning = ["--conflicts", "drop", "--min-length", "7", "--max-ambiguous", ".25", "--circular", "--strand", "forward"]
    split = ["--seed", "4", "--similarity", ".9", "--fractions", ".6", ".2", ".2"]
    assert main(["preprocess", *sources, "--labels", "t.tsv", *columns, *cleaning, *split, "-o", "out"]) == 0
    settings = PreprocessSettings.model_validate(Dataset.open("out").info["settings"])
    assert settings == PreprocessSettings(
        labels=LabelSettings(table="t.tsv", id_column="i", label_column="l", group_column="g", split_column="s", allow_missing=True),
        cleaning=CleaningSettings(conflicts="drop", min_length=7, max_ambiguous=0.25),
        split=SplitSettings(seed=4, similarity=0.9, fractions=(0.6, 0.2, 0.2)),
        circular=True,
        strand="forward",
    )


def test_a_pattern_intervals_and_a_settings_file(folder):
    fasta("x.fa", {f"{label}{n} kind={label}": bases(n + 10 * (label == "y")) for label in "xy" for n in range(4)})
    (folder / "run.toml").write_text('[data.split]\nmethod = "stratified"\n[train]\nseed = 3\n')
    assert main(["preprocess", "x.fa", "--label-regex", "kind=(.)", "--config", "run.toml", "-o", "one"]) == 0
    assert Dataset.open("one").info["split"]["method"] == "stratified"
    Path("r.bed").write_text("".join(f"x{n}\t0\t50\tx\ny{n}\t0\t50\ty\n" for n in range(4)))
    assert main(["preprocess", "--intervals", "r.bed", "--genome", "x.fa", "--split", "sequence", "-o", "two"]) == 0
    assert len(Dataset.open("two")) == 8


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["absent.fa"], 66, "absent.fa: no such file"),
        ([], 2, "no input"),
        (["x=x.fa", "y=y.fa", "--similarity", "2"], 78, "data.split.similarity"),
        (["x=x.fa", "y=y.fa", "--fractions", ".5", ".5", ".5"], 78, "the three must sum to 1\n"),
        (["x=x.fa", "y=y.fa", "--fractions", "80", "10", "10"], 78, "the three must sum to 1: 0.8 0.1 0.1?"),
        (["x=x.fa", "y=y.fa", "--fractions", "90", "0", "10"], 78, "the three must sum to 1\n"),
        (["x=x.fa", "y=y.fa", "--split", "clusters"], 2, "clusters"),
        (["x=x.fa"], 65, "one class"),
        (["x=empty.fa", "y=y.fa"], 65, "no records: the input is empty"),
        (["x=x.fa", "y=protein.fa"], 65, "protein FASTA?"),
        (["x=x.fa", "y=text.fa"], 65, "before the first '>'"),
        (["x=x.fa", "y=y.fa", "-o", "taken"], 73, "the output folder exists"),
    ],
)
def test_bad_input_ends_in_one_line_and_an_exit_code(folder, capsys, words, code, said):
    two_files()
    (folder / "empty.fa").touch()
    (folder / "protein.fa").write_text(">p\nMKVLILEQ\n")
    (folder / "text.fa").write_text("dear colleague,\n>x\nACGT\n")
    (folder / "taken").mkdir()
    (folder / "taken/thesis.txt").touch()
    before = left_behind(folder)
    output = [] if "-o" in words else ["-o", "out"]
    assert main(["preprocess", *output, *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.startswith("genomix: ")
    assert len(err.splitlines()) <= 2
    assert left_behind(folder) == before


def test_the_options_offer_the_words_that_the_settings_take():
    fields = {"split": SplitSettings.model_fields["method"], "strand": PreprocessSettings.model_fields["strand"]}
    words = {name: set(get_args(get_args(field.annotation)[0])) for name, field in fields.items()}
    assert words["split"] == {*SplitMethod}
    assert words["strand"] == {*Strand}
    assert set(get_args(CleaningSettings.model_fields["conflicts"].annotation)) == {*Conflicts}


# --- real data


@pytest.mark.shared
@pytest.mark.parametrize(("name", "records", "classes"), [("insect_mito_orders", 898, 7), ("bacteria_strains", 560, 4)])
def test_the_development_data(shared, name, records, classes):
    data = shared / name
    settings = PreprocessSettings(labels=LabelSettings(table=str(data / "labels.tsv")), split=SplitSettings(method="group"))
    dataset = preprocess([str(data / "sequences.fasta.gz")], settings, "out")
    assert (len(dataset), len(dataset.classes)) == (records, classes)
    assert dataset.records.groupby("group")["split"].nunique().max() == 1


@pytest.mark.shared
def test_every_oddity_ends_in_a_dataset_or_in_one_line(shared, capsys):
    for path in sorted(path for path in (shared / "stress").rglob("*") if path.is_file()):
        code = main(["preprocess", str(path), "-o", "out", "--force"])
        out, err = capsys.readouterr()
        assert code in {0, 65}, path
        assert "Traceback" not in err
        assert out == ("out\n" if code == 0 else "")


def test_a_conflict_of_the_very_first_record_is_dropped(tmp_path):
    rng = np.random.default_rng(5)
    bases = ["".join(rng.choice(list("ACGT"), 200)) for _ in range(21)]
    (tmp_path / "a.fa").write_text("".join(f">a{i}\n{sequence}\n" for i, sequence in enumerate(bases[:10])))
    (tmp_path / "b.fa").write_text("".join(f">b{i}\n{sequence}\n" for i, sequence in enumerate([*bases[10:], bases[0]])))
    settings = PreprocessSettings(cleaning=CleaningSettings(conflicts="drop"), split=SplitSettings(method="stratified"))
    dataset = preprocess([f"x={tmp_path / 'a.fa'}", f"y={tmp_path / 'b.fa'}"], settings, tmp_path / "out")
    assert len(dataset) == 20


def test_classes_that_look_the_same_are_told(caplog):
    names = ["E. coli", "E.\u00a0coli", "y"]
    dataset = made(
        [f"{name}={fasta(f'{place}.fa', {f'r{place}{n}': bases(10 * place + n) for n in range(3)})}" for place, name in enumerate(names)]
    )
    assert dataset.classes == ("E. coli", "E.\u00a0coli", "y")
    assert caplog.messages == ["classes 'E. coli' and 'E.\\xa0coli' look the same, and are told apart: were they meant to be one?"]


def test_a_class_that_vanishes_is_named(tmp_path, caplog):
    rng = np.random.default_rng(6)
    for name in "xyz":
        letters = ["N"] if name == "z" else list("ACGT")
        records = ("".join(rng.choice(letters, 200)) for _ in range(6))
        (tmp_path / f"{name}.fa").write_text("".join(f">{name}{i}\n{sequence}\n" for i, sequence in enumerate(records)))
    settings = PreprocessSettings(split=SplitSettings(method="stratified"))
    preprocess([f"{name}={tmp_path / name}.fa" for name in "xyz"], settings, tmp_path / "out")
    assert "no record of class 'z' is left" in caplog.text
