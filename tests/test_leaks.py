"""The leak report: a planted leak is found and named, the table shows what it flatters, and both say when they can't be had."""

import json
import logging
import re

import numpy as np
import pandas as pd
import pytest
from planted import planted_leak
from scipy.stats import binomtest
from small_data import MODEL, TOKENIZER, TRAINING, two_classes

from genomix.bundle import Bundle
from genomix.data.labels import LabelSettings
from genomix.data.leaks import COLUMNS, nearest_training
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.data.store import SIMILARITY_FILE, Dataset
from genomix.evaluate import evaluate
from genomix.metrics import accuracy_by_similarity, summary_lines
from genomix.metrics.by_similarity import bin_title, wilson_interval
from genomix.train.run import train


@pytest.fixture(scope="module")
def leaky(tmp_path_factory) -> Dataset:
    return planted_leak(tmp_path_factory.mktemp("leaky"))


def similarity_table(dataset: Dataset) -> pd.DataFrame:
    return pd.read_csv(dataset.folder / SIMILARITY_FILE, sep="\t", keep_default_na=False).set_index("id")


@pytest.mark.parametrize("length", [200, 1000, 20_000])
def test_a_planted_leak_is_found_by_name(tmp_path, caplog, length):
    with caplog.at_level(logging.WARNING):
        dataset = planted_leak(tmp_path, length=length, leaked=10, others=20)
    table = similarity_table(dataset)
    assert [*table.reset_index().columns] == list(COLUMNS)
    for number in range(10):
        row = table.loc[f"leaked{number}"]
        assert row["nearest"] == f"copy{number}"
        assert float(row["similarity"]) == pytest.approx(0.98, abs=0.04 if length < 1000 else 0.02)
        assert row["label"] == row["nearest_label"]
    assert (table[table.index.str.startswith("new")]["similarity"].astype(float) < 0.8).all()
    found = int((table.loc[[f"leaked{number}" for number in range(10)], "similarity"].astype(float) >= 0.95).sum())
    assert found >= 8
    assert dataset.info["split"]["held_out"]["test"]["near_duplicates"] == found
    assert re.search(rf"{found} of 20 test records have a near-duplicate in train .*'leaked\d' is 0\.\d+ like 'copy\d'", caplog.text)


def test_the_table_has_every_held_out_record_in_order_and_leads_to_records(leaky):
    table, records = similarity_table(leaky).reset_index(), leaky.records
    assert table["row"].tolist() == np.flatnonzero(records["split"] != "train").tolist()
    assert table["id"].tolist() == records["id"][table["row"]].tolist()
    nearest = table[table["nearest_row"] != ""]
    assert nearest["nearest"].tolist() == records["id"][nearest["nearest_row"].astype(int)].tolist()
    assert set(records["split"][nearest["nearest_row"].astype(int)]) == {"train"}


def test_what_is_read_from_the_table_is_what_is_counted_without_it(leaky, tmp_path):
    indices = leaky.indices("test")
    found, similarity = nearest_training(leaky, indices)
    files = {name: entry for name, entry in leaky.info["files"].items() if name != SIMILARITY_FILE}
    older = Dataset(leaky.folder, {**leaky.info, "files": files})
    counted, alike = nearest_training(older, indices)
    assert counted.tolist() == found.tolist()
    assert alike == pytest.approx(similarity, abs=1e-6)
    with pytest.raises(ValueError, match="held-out"):
        nearest_training(leaky, leaky.indices("train"))


@pytest.mark.parametrize("method", ["cluster", "stratified"])
def test_every_split_has_its_leak_report(tmp_path, method):
    dataset = preprocess(two_classes(tmp_path), PreprocessSettings(split=SplitSettings(method=method)), tmp_path / "d")
    table = similarity_table(dataset)
    assert table["split"].value_counts().to_dict() == {name: dataset.info["counts"]["splits"][name] for name in ("validation", "test")}
    assert set(dataset.info["split"]["held_out"]) == {"validation", "test"}


def test_without_labels_there_is_none(tmp_path):
    sources = two_classes(tmp_path)
    dataset = preprocess([source.partition("=")[2] for source in sources], PreprocessSettings(labels=LabelSettings()), tmp_path / "d")
    assert not (dataset.folder / SIMILARITY_FILE).exists()
    assert SIMILARITY_FILE not in dataset.info["files"]


def test_a_record_that_cannot_be_compared_is_none_of_the_similar(tmp_path):
    sequences = {f"{name}{i}": f"{'ACGT'[i % 4]}{'ACGT'[i // 4]}{base * 10}" for name, base in (("x", "AC"), ("y", "GT")) for i in range(9)}
    sequences = {name: text[:15] if name.startswith("x") else text for name, text in sequences.items()}
    for name in "xy":
        (tmp_path / f"{name}.fa").write_text("".join(f">{key}\n{text}\n" for key, text in sequences.items() if key[0] == name))
    settings = PreprocessSettings.model_validate({"split": {"method": "stratified"}, "cleaning": {"min_length": 10}})
    dataset = preprocess([f"{name}={tmp_path / name}.fa" for name in "xy"], settings, tmp_path / "d")
    table = similarity_table(dataset)
    assert (table.loc[table.index.str.startswith("x"), "similarity"] == "").all()
    _, similarity = nearest_training(dataset, dataset.indices("test"))
    assert np.isnan(similarity).tolist() == [record.startswith("x") for record in dataset.records["id"][dataset.indices("test")]]
    assert sum(figures["uncompared"] for figures in dataset.info["split"]["held_out"].values()) == np.sum(table["similarity"] == "")


def nearest_neighbour(dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """Probabilities of a classifier that gives each record the label of its nearest training record, and the first class without one."""
    found, _ = nearest_training(dataset, indices)
    return np.eye(2)[np.where(found >= 0, dataset.label_ids[found], 0)] * 0.8 + 0.1


def test_accuracy_by_similarity_shows_the_gap_of_a_planted_leak(leaky):
    indices = leaky.indices("test")
    _, similarity = nearest_training(leaky, indices)
    labels = leaky.label_ids[indices]
    pairs = [(name, "") for name in leaky.records["id"][indices]]
    found = accuracy_by_similarity(labels, nearest_neighbour(leaky, indices), similarity, threshold=0.95, pairs=pairs)
    assert found["near"]["accuracy"] == 1.0
    assert found["far"]["accuracy"] < 0.75
    assert found["far"]["interval"][1] < found["near"]["interval"][0]
    assert sum(row["records"] for row in found["bins"]) == 60
    assert all(each["id"].startswith("leaked") for each in found["near_duplicates"])


@pytest.fixture(scope="module")
def trained(leaky, tmp_path_factory) -> Bundle:
    return train(leaky, TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 2}), tmp_path_factory.mktemp("run") / "r").bundle


def test_evaluate_gives_the_table_and_names_the_leak(leaky, trained):
    metrics = evaluate(trained, leaky, baselines=False)
    found = metrics["by_similarity"]
    assert found["near"]["records"] + found["far"]["records"] == metrics["records"] == 60
    correct = sum(row["correct"] for row in found["bins"])
    assert correct / 60 == pytest.approx(metrics["accuracy"])
    assert {each["nearest"] for each in found["near_duplicates"]} <= {f"copy{number}" for number in range(30)}
    assert found["file"] == str(leaky.folder / SIMILARITY_FILE)
    json.dumps(metrics, allow_nan=False)
    worst = found["near_duplicates"][0]
    [warning] = [line for line in summary_lines(metrics) if line.startswith("warning: ")]
    assert f"{found['near']['records']} near-duplicates of training records" in warning
    assert f"{worst['id']}, {worst['similarity']:.3f} like {worst['nearest']}" in warning


def test_evaluate_shows_the_gap_of_a_classifier_that_remembers(leaky, trained, monkeypatch):
    monkeypatch.setattr("genomix.evaluate.split_probabilities", lambda _scorer, dataset, indices: nearest_neighbour(dataset, indices))
    metrics = evaluate(trained, leaky, baselines=False)
    bins = {bin_title(row): row for row in metrics["by_similarity"]["bins"]}
    alike = bins["0.95 to 0.99"]["records"] + bins["0.99 or more"]["records"]
    assert alike >= 25
    assert alike == bins["0.95 to 0.99"]["correct"] + bins["0.99 or more"]["correct"]
    assert bins["below 0.8"]["records"] == 30
    assert bins["below 0.8"]["accuracy"] < 0.75 < metrics["accuracy"]
    [line] = [line for line in summary_lines(metrics) if line.startswith("accuracy by similarity")]
    assert re.search(r"below 0\.8 0\.\d+ \(n 30\).*0\.95 to 0\.99 1\.000", line)


@pytest.mark.parametrize(("part", "count"), [(0.0, 10), (0.3, 10), (1.0, 10), (0.9, 1000)])
def test_intervals_are_those_of_scipy(part, count):
    low, high = wilson_interval(part, count, 0.95)
    expected = binomtest(round(part * count), count).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_bins_hold_their_lower_bound_and_related_records_count_once():
    similarity = np.array([0.0, 0.79, 0.8, 0.95, 0.99, 1.0, np.nan])
    probabilities = np.tile([0.9, 0.1], (7, 1))
    options = {"threshold": 0.95, "pairs": [("", "")] * 7}
    found = accuracy_by_similarity(np.zeros(7, int), probabilities, similarity, **options)
    assert [row["records"] for row in found["bins"]] == [2, 1, 0, 1, 2]
    assert (found["uncompared"], found["near"]["records"], found["far"]["records"]) == (1, 3, 3)
    grouped = accuracy_by_similarity(np.zeros(7, int), probabilities, similarity, groups=np.array(["a"] * 7), **options)
    assert grouped["far"]["interval"][0] < found["far"]["interval"][0]


def test_without_a_training_split_it_says_so(leaky, trained):
    assert "training records themselves" in evaluate(trained, leaky, split="train", baselines=False)["by_similarity"]["unavailable"]
    records = leaky.records.assign(split="test")
    only_test = Dataset(leaky.folder, leaky.info)
    only_test.__dict__["records"] = records
    metrics = evaluate(trained, only_test)
    assert "no training split" in metrics["by_similarity"]["unavailable"]
    assert summary_lines(metrics)[-1] == (
        "accuracy by similarity to training: not available, the dataset has no training split to compare with"
    )
