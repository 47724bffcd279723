"""Slips that users make at the command line, and what they are told."""

import json
import random

import pytest
from small_data import random_sequence, write_fasta

from genomix.cli.main import main
from genomix.data.label_text import made_of_others
from genomix.errors import SettingsError
from genomix.train.devices import launch
from genomix.train.settings import TrainSettings


def run(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def fasta(tmp_path):
    rng = random.Random(0)
    return write_fasta(tmp_path / "new.fa", {f"r{i}": random_sequence(rng, 300, gc=0.5) for i in range(6)})


@pytest.fixture
def model(tmp_path):
    """The folder of a model, as far as arguments are looked at."""
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({}), encoding="utf-8")
    return folder


def test_files_before_the_model(capsys, fasta, model):
    code, _, said = run(capsys, "predict", fasta, model.parent)
    assert code == 66
    assert f"{model.parent}: a model, expected sequence files" in said
    assert "the model comes first" in said


def test_a_file_of_the_model_in_its_place(capsys, fasta, model):
    code, _, said = run(capsys, "predict", model / "model.json", fasta)
    assert code == 66
    assert f"name the folder: {model}" in said


def test_a_dataset_before_the_model(capsys, fasta, tmp_path, model):
    assert run(capsys, "preprocess", fasta, "-o", tmp_path / "ds")[0] == 0
    code, _, said = run(capsys, "evaluate", tmp_path / "ds", model)
    assert code == 66
    assert "the model comes first" in said


def test_a_file_given_twice(capsys, fasta, model):
    code, _, said = run(capsys, "predict", model, fasta, fasta)
    assert code == 2
    assert f"{fasta} is given twice" in said


@pytest.mark.parametrize("name", ["p.json", "p.xlsx", "p.parquet"])
def test_an_ending_of_a_form_that_is_not_written(capsys, fasta, model, tmp_path, name):
    code, _, said = run(capsys, "predict", model, fasta, "-o", tmp_path / name)
    assert code == 2
    assert f"results are written as tsv, csv, jsonl, not as .{name[2:]}" in said
    assert not (tmp_path / name).exists()


def test_records_without_an_id(capsys, tmp_path):
    path = tmp_path / "x.fa"
    path.write_text(f">a\n{'ACGTTGCA' * 9}\n>\n{'GGGTTTAC' * 9}\n> later\n{'ACCCGTTT' * 9}\n", encoding="utf-8")
    code, _, said = run(capsys, "preprocess", path, "-o", tmp_path / "ds")
    assert code == 0
    assert f"2 records, the first record 2 of {path}, have no id" in said


def test_labels_made_of_others():
    assert made_of_others(["A", "B", "A,B", "B; A", "A,A", "A,C", "C/D", "A B"]) == ["A,A", "A,B", "B; A"]


def test_cells_of_several_labels_are_told(capsys, tmp_path, fasta):
    table = tmp_path / "labels.tsv"
    labels = ["A", "A", "B", "B", "A/B", "A/B"]
    table.write_text("id\tlabel\n" + "".join(f"r{i}\t{label}\n" for i, label in enumerate(labels)), encoding="utf-8")
    options = ("--split", "stratified", "--fractions", 0.5, 0.5, 0)
    code, _, said = run(capsys, "preprocess", fasta, "--labels", table, *options, "-o", tmp_path / "ds")
    assert code == 0, said
    assert "made of other classes' names: 'A/B' (2 records)" in said


@pytest.mark.parametrize(
    ("split", "hint"), [("group", "give more groups"), ("sequence", "give more source sequences"), ("cluster", "a higher --similarity")]
)
def test_too_few_that_stay_together(capsys, tmp_path, split, hint):
    rng = random.Random(0)
    if split == "sequence":
        genome = write_fasta(tmp_path / "g.fa", {"chr1": random_sequence(rng, 5_000, gc=0.5)})
        regions = tmp_path / "r.bed"
        regions.write_text("".join(f"chr1\t{i * 400}\t{i * 400 + 300}\t{'AB'[i % 2]}\n" for i in range(12)), encoding="utf-8")
        words = ("--intervals", regions, "--genome", genome)
    else:
        same = random_sequence(rng, 600, gc=0.5)
        fasta = write_fasta(tmp_path / "x.fa", {f"r{i}": same[: 20 * i] + "N" + same[20 * i :] for i in range(1, 13)})
        table = tmp_path / "t.tsv"
        table.write_text("id\tlabel\tgroup\n" + "".join(f"r{i}\t{'AB'[i % 2]}\tg\n" for i in range(1, 13)), encoding="utf-8")
        words = (fasta, "--labels", table)
    code, _, said = run(capsys, "preprocess", *words, "--split", split, "-o", tmp_path / "ds")
    assert code == 65
    assert f"hint: {hint}" in said


def test_more_processes_than_an_update_has_records_are_not_started(monkeypatch):
    monkeypatch.setattr("lightning_fabric.Fabric.launch", lambda *_: pytest.fail("processes were started"))
    with pytest.raises(SettingsError, match="an update's records are too few for 2,000 processes"):
        launch(TrainSettings(device="cpu", devices=2_000))


@pytest.mark.parametrize("name", ["learning_rate", "embedding_rate", "weight_decay"])
def test_rates_are_finite(name):
    with pytest.raises(ValueError, match="finite"):
        TrainSettings(**{name: float("inf")})
