"""Prediction: a row for every record, in order, whatever the records are; nothing half-written."""

import csv
import json
import random
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_data import MODEL, TOKENIZER, random_sequence

from genomix.bundle import Bundle, new_model, save_bundle
from genomix.cli.files import named
from genomix.cli.main import main
from genomix.predict import predict
from genomix.records import OTHER, Prediction, SequenceRecord
from genomix.report.predictions import COLUMNS, write_predictions
from genomix.scorer import PredictSettings, build_scorer
from genomix.tokenizers import build_tokenizer
from genomix.windows import Reader

CLASSES = ("prob/lem", "ünïcode\tname")


def make_bundle(**changes):
    torch.manual_seed(3)
    model = new_model(MODEL.model_copy(update=changes), TOKENIZER, len(CLASSES)).eval()
    return Bundle(model, TOKENIZER, CLASSES, "both", circular=False)


@pytest.fixture(scope="module")
def bundle():
    return make_bundle()


@pytest.fixture(scope="module")
def model_folder(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "model"
    save_bundle(bundle, folder)
    return str(folder)


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [("p.tsv.gz", 2, "plain text"), (".", 73, "a folder, expected a file"), ("a" * 256, 73, "File name too long")],
)
def test_an_output_that_is_not_written_is_refused_before_the_model_is_read(output, code, expected, model_folder, tmp_path, capsys):
    fasta = tmp_path / "new.fa"
    fasta.write_text(">r\nACGTACGTACGT\n")
    assert main(["predict", model_folder, str(fasta), "-o", str(tmp_path / output), "--force"]) == code
    assert expected in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["new.fa"]


def test_settings_of_a_file_are_used_and_a_misspelt_one_is_named(model_folder, tmp_path, capsys):
    (tmp_path / "new.fa").write_text(">r\nACGTACGTACGTACGTACGTACGTACGT\n")
    for name, status in (("threshold = 1.0", "unclassified"), ("threshold = 0.0", "\tclassified")):
        (tmp_path / "run.toml").write_text(f"[train]\nsteps = 1\n[predict]\n{name}\n")
        assert main(["predict", model_folder, str(tmp_path / "new.fa"), "--config", str(tmp_path / "run.toml")]) == 0
        assert status in capsys.readouterr().out
    (tmp_path / "run.toml").write_text("[predict]\ntreshold = 1.0\n")
    assert main(["predict", model_folder, str(tmp_path / "new.fa"), "--config", str(tmp_path / "run.toml")]) == 78
    assert "did you mean threshold?" in capsys.readouterr().err


def test_what_the_model_is_made_of_and_what_is_read_is_not_written_over(model_folder, tmp_path, capsys):
    (tmp_path / "new.fa").write_text(">r\nACGTACGTACGT\n")
    prior, config = tmp_path / "prior.tsv", tmp_path / "run.toml"
    prior.write_text("class\tprior\n")
    config.write_text("[train]\n")
    command = ["predict", model_folder, str(tmp_path / "new.fa"), "--prior", str(prior), "--config", str(config), "--force"]
    for output in (f"{model_folder}/model.json", str(prior), str(config)):
        assert main([*command, "-o", output]) == 73
        assert "would be overwritten" in capsys.readouterr().err
    assert (prior.read_text(), config.read_text()) == ("class\tprior\n", "[train]\n")


def test_all_names_of_stdout_mean_stdout(model_folder, tmp_path):
    """A job's log is a file: as an output it would be put in the place of the log."""
    (tmp_path / "new.fa").write_text(">r\nACGTACGTACGT\n")
    assert [named(output) for output in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "stdout")] == ["-"] * 4 + ["stdout"]
    command = f'echo before; "{sys.executable}" -m genomix predict "{model_folder}" new.fa -o /dev/stdout; echo after'
    with (tmp_path / "job.out").open("w") as log:
        subprocess.run(["bash", "-c", command], cwd=tmp_path, stdout=log, check=True)
    before, header, row, after = (tmp_path / "job.out").read_text().splitlines()
    assert (before, after, header.split("\t")[0], row.split("\t")[0]) == ("before", "after", "id", "r")


def record(sequence, name="r"):
    return SequenceRecord(name, "", sequence.encode(), "f.fa", 1)


def predictions(bundle, sequences, *, strand=None, **settings):
    return [prediction for _, prediction in predict(bundle, map(record, sequences), PredictSettings(**settings), strand=strand)]


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


# ---- every record, in order ------------------------------------------------------------------------------------------------------------------------


def test_a_row_for_each_of_many_odd_records(model_folder, tmp_path, capsys):
    """2,000 short records, one of 2 Mb, one of 3 bases, one of 2, one all N, one empty, and repeated ids."""
    rng = random.Random(0)
    ids, sequences = [], []
    for number in range(2_000):
        ids.append(f"s{number % 1_900}")
        sequences.append(random_sequence(rng, rng.randint(20, 200), gc=0.5))
    odd = {"long": "ACGTTGCA" * 250_000, "three": "ACG", "two": "AC", "n": "N" * 500, "empty": ""}
    for place, (name, sequence) in enumerate(odd.items()):
        ids.insert(place * 300, name)
        sequences.insert(place * 300, sequence)
    fasta = tmp_path / "odd.fa"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in zip(ids, sequences, strict=True)))
    assert main(["predict", model_folder, str(fasta), "-o", str(tmp_path / "out.tsv")]) == 0
    rows = rows_of(tmp_path / "out.tsv")
    assert [row["id"] for row in rows] == ids
    assert [int(row["length"]) for row in rows] == [len(sequence) for sequence in sequences]
    status = {row["id"]: row["status"] for row in rows}
    assert [status[name] for name in odd] == ["classified", "classified", "too_short", "too_ambiguous", "too_short"]
    assert int(next(row for row in rows if row["id"] == "long")["windows"]) > 400
    assert "2005 records" in capsys.readouterr().err


def test_a_record_without_a_whole_known_kmer_is_too_ambiguous(bundle):
    """To the network it is one token again and again, and so were any other."""
    strewn = "ACN" * 50
    assert [each.status for each in predictions(bundle, [strewn, strewn + "ACG", "ACGT" * 30])] == [
        "too_ambiguous",
        "classified",
        "classified",
    ]


def test_windows_count_by_their_known_kmers(bundle):
    reader = Reader(build_tokenizer(TOKENIZER), 100, 1, False, 0.0)
    size = reader.spans(1_000)[0][1]
    codes = np.zeros(3 * size, dtype=np.uint8)
    codes[size : 2 * size : TOKENIZER.k] = OTHER
    codes[2 * size] = OTHER
    windows, weights = reader.windows(codes)
    assert [(window.start, window.stop) for window in windows] == [(0, size), (2 * size, 3 * size)]
    assert weights == [windows[0].tokens, windows[0].tokens - 1]


def test_columns_and_probabilities(bundle, tmp_path):
    sequences = ["ACGT" * 30, "AC", "TTGCA" * 40]
    counts = write_predictions(predict(bundle, map(record, sequences), PredictSettings()), CLASSES, str(tmp_path / "p.tsv"))
    rows = rows_of(tmp_path / "p.tsv")
    assert list(rows[0]) == [*COLUMNS, *(f"prob_{name}" for name in CLASSES)]
    assert counts == {"classified": 2, "too_short": 1}
    for row in (rows[0], rows[2]):
        probabilities = {name: float(row[f"prob_{name}"]) for name in CLASSES}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(probabilities, key=probabilities.get)
        assert float(row["probability"]) == max(probabilities.values())
        assert float(row["margin"]) == pytest.approx(abs(np.subtract(*probabilities.values())), abs=1e-5)
        assert 0 <= float(row["strand_agreement"]) <= 1
    assert {name for name, value in rows[1].items() if value == ""} == {*rows[1]} - {"id", "length", "status", "windows"}


def test_json_lines_hold_the_same(bundle, tmp_path):
    for form in ("tsv", "jsonl"):
        found = predict(bundle, map(record, ["ACGT" * 30, "AC"]), PredictSettings())
        write_predictions(found, CLASSES, str(tmp_path / form), form=form)
    rows, lines = rows_of(tmp_path / "tsv"), [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert [line["label"] or "" for line in lines] == [row["label"] for row in rows]
    assert [f"{value:.6f}" for value in lines[0]["probabilities"].values()] == [rows[0][f"prob_{name}"] for name in CLASSES]
    assert lines[1]["probabilities"] == {}


@pytest.mark.parametrize(
    ("name", "words", "delimiter"),
    [
        ("m.csv", (), ","),
        ("M.CSV", (), ","),
        ("m.txt", (), "\t"),
        ("m.csv", ("--format", "tsv"), "\t"),
        ("m.tsv", ("--format", "csv"), ","),
    ],
)
def test_a_file_called_csv_has_commas_and_quotes_what_holds_one(name, words, delimiter, tmp_path):
    save_bundle(replace(make_bundle(), classes=("a, b", 'say "c"\td')), tmp_path / "model")
    (tmp_path / "new.fa").write_text(">r,1\nACGTACGTACGTACGT\n>r2\nAC\n")
    output = tmp_path / name
    assert main(["predict", str(tmp_path / "model"), str(tmp_path / "new.fa"), "-o", str(output), *words]) == 0
    with output.open(newline="") as file:
        header, *rows = csv.reader(file, delimiter=delimiter)
    assert header == [*COLUMNS, "prob_a, b", 'prob_say "c"\td']
    assert [(row[0], len(row)) for row in rows] == [("r,1", len(header)), ("r2", len(header))]
    assert rows[0][3] in ("a, b", 'say "c"\td')


def test_a_file_called_jsonl_has_json_lines(model_folder, tmp_path):
    (tmp_path / "new.fa").write_text(">r\nACGTACGTACGTACGT\n")
    assert main(["predict", model_folder, str(tmp_path / "new.fa"), "-o", str(tmp_path / "p.jsonl")]) == 0
    assert json.loads((tmp_path / "p.jsonl").read_text())["id"] == "r"


def test_batching_changes_neither_order_nor_scores(bundle):
    rng = random.Random(1)
    sequences = [random_sequence(rng, rng.randint(3, 400), gc=0.4) for _ in range(60)]
    whole = predictions(bundle, sequences)
    for budget, most in ((50, 1), (600, 7), (10**6, 1000)):
        assert np.allclose(
            [p.probabilities for p in predictions(bundle, sequences, token_budget=budget, max_records=most)],
            [p.probabilities for p in whole],
            atol=1e-6,
        )
    assert [p.length for p in whole] == [len(sequence) for sequence in sequences]


# ---- thresholds, strands, windows --------------------------------------------------------------------------------------------------------------------


def test_a_record_below_the_threshold_has_no_label_but_its_probabilities(bundle):
    (sure,), (unsure,) = predictions(bundle, ["ACGT" * 30]), predictions(bundle, ["ACGT" * 30], threshold=0.999)
    assert (unsure.status, unsure.label) == ("unclassified", "")
    assert unsure.probabilities == sure.probabilities


def test_both_strands_give_one_answer_and_forward_may_not(bundle):
    rng = random.Random(2)
    sequence = random_sequence(rng, 200, gc=0.4)
    turned = sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))
    one, other = predictions(bundle, [sequence, turned])
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
    assert one.strand_agreement == pytest.approx(other.strand_agreement, abs=1e-6)
    first, second = predictions(bundle, [sequence, turned], strand="forward")
    assert first.strand_agreement is None
    assert one.probabilities == pytest.approx(np.mean([first.probabilities, second.probabilities], axis=0), abs=1e-6)


@given(st.integers(1, 3_000), st.integers(4, 400), st.floats(0, 0.9), st.booleans())
def test_windows_cover_a_record_and_overlap(length, most, overlap, circular):
    spans = Reader(build_tokenizer(TOKENIZER), most, 2, circular, overlap).spans(length)
    assert spans[0][0] == 0
    assert len({stop - start for start, stop in spans}) == 1
    around = circular and len(spans) > 1
    assert spans[-1][1] >= length if around else spans[-1][1] == length
    assert spans[-1][0] < length
    following = [*(start for start, _ in spans[1:]), *([length] if around else [])]
    for (start, stop), after in zip(spans, following, strict=around):
        assert start < after <= stop
        assert stop - after >= int((stop - start) * overlap) - 1


def test_a_window_crosses_the_joint_of_a_ring_like_any_other_place():
    codes = np.random.default_rng(3).integers(0, 4, 1_000, dtype=np.uint8)
    tokenizer = build_tokenizer(TOKENIZER)
    windows, weights = Reader(tokenizer, 200, 1, True, 0.25).windows(codes)
    assert weights == [windows[0].tokens] * len(windows)
    twice = np.concatenate([codes, codes])
    assert windows[-1].stop > len(codes)
    for window in windows:
        assert window.ids(tokenizer).tolist() == tokenizer.encode(twice[window.start : window.stop]).tolist()
    seen = np.bincount(np.concatenate([np.arange(window.start, window.stop) % len(codes) for window in windows]))
    assert seen.min() >= 1


def test_stretches_of_rings_are_read_as_lines():
    scorer = build_scorer(replace(make_bundle(), circular=True), PredictSettings())
    codes = np.zeros(300, dtype=np.uint8)
    found = [{window.ring for window in each.reader.windows(codes)[0]} for each in (scorer, scorer.linear())]
    assert found == [{True}, {False}]


@pytest.mark.parametrize("circular", [False, True])
def test_a_record_that_is_read_in_windows_takes_its_bases_and_not_the_tokens_of_all_windows(circular):
    codes = np.random.default_rng(4).integers(0, 4, 4_000_000, dtype=np.uint8)
    tracemalloc.start()
    windows, _ = Reader(build_tokenizer(TOKENIZER), 4_096, 2, circular, 0.5).windows(codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(window.tokens for window in windows) > 3.9 * len(codes)
    assert peak < len(codes) / 4


def test_windows_are_averaged_by_their_bases():
    bundle = make_bundle(max_tokens=64)
    rng = random.Random(5)
    sequence = random_sequence(rng, 100, gc=0.4)
    (whole,) = predictions(bundle, [sequence])
    spans = build_scorer(bundle, PredictSettings()).reader.spans(100)
    assert whole.windows == len(spans) > 1
    parts = predictions(bundle, [sequence[start:stop] for start, stop in spans])
    assert whole.probabilities == pytest.approx(np.mean([part.probabilities for part in parts], axis=0), abs=1e-6)


def test_windows_of_unknown_bases_alone_have_no_say():
    """What is known of a scaffold decides, however long the gap in it is."""
    bundle = make_bundle(max_tokens=64)
    known = random_sequence(random.Random(5), 66, gc=0.4)
    (gapped,), (whole,) = (predictions(bundle, [each], max_ambiguous=1, overlap=0) for each in (known + "N" * 132, known))
    assert gapped.windows == 1
    assert gapped.probabilities == pytest.approx(whole.probabilities, abs=1e-9)
    (unknown,) = predictions(bundle, ["N" * 198], max_ambiguous=1, overlap=0)
    assert unknown.status == "too_ambiguous"


# ---- files -------------------------------------------------------------------------------------------------------------------------------------------


def test_one_fasta_a_class(bundle, tmp_path):
    sequences = ["ACGT" * 30, "AC", "T" * 200, "GC" * 90]
    records = [record(sequence, f"r{number}") for number, sequence in enumerate(sequences)]
    found = predict(bundle, records, PredictSettings())
    write_predictions(found, CLASSES, str(tmp_path / "p.tsv"), split_fasta=tmp_path / "by_class")
    labels = {row["id"]: row["label"] for row in rows_of(tmp_path / "p.tsv")}
    names = {"prob/lem": "prob%2Flem.fasta", "ünïcode\tname": "%C3%BCn%C3%AFcode%09name.fasta", "": "_unclassified.fasta"}
    assert {path.name for path in (tmp_path / "by_class").glob("*.fasta")} == {names[label] for label in labels.values()}
    for path in (tmp_path / "by_class").glob("*.fasta"):
        ids = [line[1:] for line in path.read_text().splitlines() if line.startswith(">")]
        assert ids == [name for name, label in labels.items() if names[label] == path.name]
    assert (tmp_path / "by_class" / "_unclassified.fasta").read_text() == ">r1\nAC\n"


def test_a_class_that_is_named_like_our_file_has_one_of_its_own(tmp_path):
    classes = ("_unclassified", ".hidden")
    found = [(record("ACGT", name or "none"), Prediction(name, 4, "x", label=name, probabilities=(0.5, 0.5))) for name in (*classes, "")]
    write_predictions(found, classes, str(tmp_path / "p.tsv"), split_fasta=tmp_path / "by_class")
    written = {path.name: path.read_text() for path in (tmp_path / "by_class").glob("*.fasta")}
    assert written == {
        "%5Funclassified.fasta": ">_unclassified\nACGT\n",
        "%2Ehidden.fasta": ">.hidden\nACGT\n",
        "_unclassified.fasta": ">none\nACGT\n",
    }


def test_a_class_whose_name_is_longer_than_a_file_name_may_be(tmp_path):
    classes = ("ü" * 100 + "a", "ü" * 100 + "b")
    found = [(record("ACGT", name), Prediction(name, 4, "classified", label=name, probabilities=(0.5, 0.5))) for name in classes]
    write_predictions(found, classes, str(tmp_path / "p.tsv"), split_fasta=tmp_path / "by_class")
    written = [path.read_text() for path in (tmp_path / "by_class").glob("*.fasta")]
    assert sorted(written) == [f">{name}\nACGT\n" for name in classes]


def test_the_table_does_not_go_into_the_folder_that_is_replaced(model_folder, tmp_path, capsys):
    (tmp_path / "x.fa").write_text(">a\nACGTACGT\n")
    command = [
        "predict",
        model_folder,
        str(tmp_path / "x.fa"),
        "-o",
        str(tmp_path / "split" / "p.tsv"),
        "--split-fasta",
        str(tmp_path / "split"),
    ]
    assert main(command) == 2
    assert "lies in the folder of --split-fasta" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.fa"]


def test_a_later_input_that_is_not_there_is_noticed_before_any_work(model_folder, tmp_path, capsys, monkeypatch):
    (tmp_path / "x.fa").write_text(">a\nACGTACGT\n")
    monkeypatch.setattr("genomix.bundle.load_bundle", lambda *_, **__: pytest.fail("the model was loaded"))
    for wrong, said in ((tmp_path / "y.fa", "no such file"), (tmp_path, "a folder, expected a file")):
        assert main(["predict", model_folder, str(tmp_path / "x.fa"), str(wrong), "-o", str(tmp_path / "p.tsv")]) == 66
        assert said in capsys.readouterr().err


def test_an_error_midway_leaves_no_file(model_folder, tmp_path, capsys):
    (tmp_path / "bad.fa").write_text(">a\nACGTACGT\n>b\nMENLNMDLLYM\n")
    command = ["predict", model_folder, str(tmp_path / "bad.fa"), "-o", str(tmp_path / "p.tsv"), "--split-fasta", str(tmp_path / "split")]
    assert main(command) == 65
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.fa"]
    assert "line 4" in capsys.readouterr().err


def test_an_existing_file_is_kept_without_force(model_folder, tmp_path):
    (tmp_path / "x.fa").write_text(">a\nACGTACGT\n")
    (tmp_path / "p.tsv").write_text("precious")
    command = ["predict", model_folder, str(tmp_path / "x.fa"), "-o", str(tmp_path / "p.tsv")]
    assert main(command) == 73
    assert (tmp_path / "p.tsv").read_text() == "precious"
    assert main([*command, "--force"]) == 0
    assert (tmp_path / "p.tsv").read_text().startswith("id\t")


def test_stdout_carries_the_table_and_stderr_the_talk(model_folder, tmp_path, capsys):
    (tmp_path / "x.fa").write_text(">a some words\nACGTACGT\n")
    assert main(["predict", model_folder, str(tmp_path / "x.fa"), "--set", "predict.threshold=0.1"]) == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["id", "a"]
    assert err == "1 record: 1 classified\n"


@pytest.mark.parametrize("more", [[], ["--shard", "1/1"]])
def test_gaps_of_an_alignment_are_told_and_a_few_are_not(model_folder, tmp_path, capsys, more):
    for name, gaps, told in (("few", "-", False), ("many", "-..-", True)):
        (tmp_path / f"{name}.fa").write_text(f">a\n{'ACGT' * 50}{gaps}\n")
        assert main(["predict", model_folder, str(tmp_path / f"{name}.fa"), "-o", str(tmp_path / f"{name}.tsv"), *more]) == 0
        assert (f"{name}.fa: 2.0 % of the letters are gaps, '-' or '.', as in an alignment; they are" in capsys.readouterr().err) == told


@pytest.mark.parametrize("command", [["predict"], ["explain"], ["predict", "--shard", "1/1"]])
def test_molecules_that_the_model_takes_for_what_their_file_denies(model_folder, tmp_path, capsys, command):
    entries = [
        f"LOCUS       g{kind}  60 bp    DNA     {kind} BCT 01-JAN-1980\nORIGIN\n        1 {'acgtac' * 10}\n//\n"
        for kind in ("circular", "linear  ")
    ]
    (tmp_path / "g.gb").write_text("".join(entries))
    name, *more = command
    assert main([name, model_folder, str(tmp_path / "g.gb"), "-o", str(tmp_path / "out.tsv"), *more]) == 0
    said = "1 of 2 records are circular, as their file says (LOCUS or ID), and are taken as linear, as the model was trained"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--threshold", "1.5"], 78, "predict.threshold"),
        (["--set", "predict.treshold=1"], 78, "did you mean threshold"),
        (["--format", "xml"], 2, "xml"),
        (["--strand", "reverse"], 2, "reverse"),
    ],
)
def test_a_wrong_option_is_one_line(words, code, said, model_folder, tmp_path, capsys):
    (tmp_path / "x.fa").write_text(">a\nACGTACGT\n")
    assert main(["predict", model_folder, str(tmp_path / "x.fa"), *words]) == code
    assert said in capsys.readouterr().err


def test_a_missing_model_and_missing_sequences(model_folder, tmp_path, capsys):
    assert main(["predict", str(tmp_path / "nothing"), "x.fa"]) == 66
    assert main(["predict", model_folder, str(tmp_path / "nothing.fa")]) == 66
    out, err = capsys.readouterr()
    assert out == ""
    assert "nothing.fa" in err
