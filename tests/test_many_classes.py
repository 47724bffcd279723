"""Two hundred classes of a few records each, from files to report: every command works, and neither page nor messages grow with the classes."""

import csv
import json
import random

import numpy as np
import pytest
from small_data import random_sequence
from test_report import Page, made_data, made_inputs, made_metrics

import genomix.baselines
import genomix.report.predictions
from genomix.cli.main import main
from genomix.metrics.weighted import _levels, _ranked, _ranked_by_pairs
from genomix.records import Prediction, SequenceRecord
from genomix.report.classes import class_table, split_table
from genomix.report.page import render
from genomix.report.predictions import write_predictions

CLASSES = 200
SMALL = [
    "tokenizer.k=3",
    "model.embedding=16",
    "model.channels=8",
    "model.pooled=16",
    "model.patch=3",
    "train.steps=10",
    "train.validations=2",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on 200 leaves of 4 x 5 x 10, four records each; half of the records of each also predicted."""
    folder, rng = tmp_path_factory.mktemp("many"), random.Random(0)
    names = [f"phylum {a};genus {b};species {c}" for a in range(4) for b in range(5) for c in range(10)]
    records, rows = [], ["id\tlabel"]
    for number, name in enumerate(names):
        for copy in range(4):
            records.append(f">r{number}.{copy}\n{random_sequence(rng, rng.randint(60, 90), gc=0.2 + 0.6 * number / CLASSES)}\n")
            rows.append(f"r{number}.{copy}\t{name}")
    (folder / "s.fa").write_text("".join(records))
    (folder / "l.tsv").write_text("\n".join(rows) + "\n")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(genomix.baselines, "STRENGTHS", (0.1,))  # fits of 200 classes take long
        patch.setattr(genomix.baselines, "_MOST_ITERATIONS", 5)
        source = [str(folder / "s.fa"), "--labels", str(folder / "l.tsv"), "--split", "stratified"]
        assert main(["train", *source, *settings, "-o", str(folder / "run")]) == 0
    return folder / "run"


def test_the_run_is_evaluated_at_every_rank(run):
    text = (run / "evaluation" / "metrics.json").read_text()
    metrics = json.loads(text)
    assert [row["nodes"] for row in metrics["ranks"]] == [4, 20, 200]
    accuracies = [row["accuracy"] for row in metrics["ranks"]]
    assert accuracies[0] > accuracies[-1] == metrics["accuracy"]
    assert sum(cell["records"] for cell in metrics["confusion"]) == metrics["records"] == 200
    assert len(text) < 150_000  # the confusion matrix as a table had 40,000 cells


def test_evaluate_and_predict_take_them(run, capsys):
    assert main(["evaluate", str(run), str(run / "dataset"), "--no-baselines", "--split", "validation"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["per_class"]) == CLASSES
    assert "rank 3" in err
    assert len(err.splitlines()) < 30
    assert main(["predict", str(run), str(run.parent / "s.fa"), "-o", str(run.parent / "p.tsv"), "--threshold", "0.2"]) == 0
    with (run.parent / "p.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    assert len(rows) == 4 * CLASSES
    assert len([name for name in rows[0] if name.startswith("prob_")]) == CLASSES
    for row in rows[:20]:
        assert sum(float(value) for name, value in row.items() if name.startswith("prob_")) == pytest.approx(1, abs=2e-4)
        assert row["label"].count(";") + 1 == int(row["rank"] or 1)


def test_the_page_shows_ranks_and_few_classes(run):
    page = (run / "report.html").read_text()
    assert len(page) < 80_000
    text = Page(page).text
    assert "By rank" in text
    assert "The 30 lowest F1 of the 200 classes with test records" in text
    assert "The 15 largest and the 15 smallest of 200 classes" in text
    assert page.count("<tr") < 200  # some 90 of them are of sections that do not grow with the classes


MANY = made_metrics(records=120, classes=tuple(f"genus {number}" for number in range(60)), wrong=70, baseline_wrong=70)


def repeated(metrics, times):
    """The same metrics of so many times the classes."""
    names = [f"{name}.{copy}" for copy in range(times) for name in metrics["classes"]]
    rows = [{**row, "class": f"{row['class']}.{copy}"} for copy in range(times) for row in metrics["per_class"]]
    cells = [
        {**cell, "true": f"{cell['true']}.{copy}", "predicted": f"{cell['predicted']}.{copy}"}
        for copy in range(times)
        for cell in metrics["confusion"]
    ]
    return metrics | {"classes": names, "per_class": rows, "confusion": cells}


def test_the_page_does_not_grow_with_the_classes():
    sizes = []
    for times in (2, 20):
        metrics = repeated(MANY, times)
        data = made_data(counts={name: {"train": 3 + number, "test": 2} for number, name in enumerate(metrics["classes"])})
        sizes.append(len(render(made_inputs(metrics=metrics, data=data))))
    assert sizes[1] < 1.05 * sizes[0]


def test_of_many_classes_the_worst_are_shown_and_of_few_all():
    table = class_table(MANY)
    scores = sorted(row["f1"] for row in MANY["per_class"])
    assert [row["f1"] for row in table.rows] == [f"{score:.3f}" for score in scores[:30]]
    few = class_table(made_metrics())
    assert (len(few.rows), few.selection) == (3, "")


def test_of_many_classes_the_largest_and_smallest_are_shown_with_the_sum_of_all():
    data = made_data(counts={f"c{number}": {"train": number} for number in range(60)})
    table = split_table(data)
    assert [row["name"] for row in table.rows[:2]] == ["c59", "c58"]
    assert [row["name"] for row in table.rows[-2:]] == ["c0", "all classes"]
    assert table.rows[-1]["counts"] == ["1,770", "0", "0", "1,770"]


def test_classes_without_test_records_are_not_among_the_worst():
    first, *others = MANY["per_class"]
    absent = [{**row, "support": 0, "recall": None, "f1": None} for row in others]
    metrics = MANY | {"per_class": [first, *absent], "confusion": []}
    assert [row["class"] for row in class_table(metrics).rows] == [first["class"]]
    Page(render(made_inputs(metrics=metrics)))


def test_ranking_by_pairs_is_ranking():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, 60) / 12  # with ties
    weights = rng.multinomial(60, np.full(60, 1 / 60), 40).astype(float)
    weights[0, :5] = 0  # a resample without positives
    positive = np.arange(60) < 5
    for one, other in zip(_ranked(positive, _levels(scores), weights.T), _ranked_by_pairs(positive, scores, weights), strict=True):
        assert np.isnan(one[0])
        assert np.array_equal(np.isnan(one), np.isnan(other))
        assert np.allclose(one, other, rtol=1e-12, atol=0, equal_nan=True)


def test_a_fasta_a_class_with_more_classes_than_files_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr(genomix.report.predictions, "_MOST_OPEN_FILES", 3)
    classes = [f"c{number}" for number in range(10)]
    records = [SequenceRecord(f"r{number}", "", b"ACGT", "f.fa", number) for number in range(50)]
    found = [(record, Prediction(record.id, 4, "classified", label=classes[number % 10])) for number, record in enumerate(records)]
    write_predictions(found, classes, str(tmp_path / "p.tsv"), split_fasta=tmp_path / "split")
    for number, name in enumerate(classes):
        lines = (tmp_path / "split" / f"{name}.fasta").read_text().splitlines()
        assert lines == [word for record in records[number::10] for word in (f">{record.id}", "ACGT")]
