"""benchmarks/accuracy.py: the paired difference over seeds, the verdicts, and a run that is done once, told from its trials and never done twice at a time."""

import fcntl
import gzip
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from small_data import random_sequence, small_dataset

from genomix.data.related import drawn_together
from genomix.metrics import headline, paired_gain

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import accuracy_bars
import accuracy_figures
import accuracy_rivals
import accuracy_runs
import accuracy_table
from accuracy_sets import SETS, VARIANTS, Places, Run

SET = "bacteria_strains"
TINY = ("train.steps=2", "model.embedding=16", "model.channels=8", "model.pooled=8", "tokenizer.k=3")


def random_probabilities(dataset, *, seeds, split="test"):
    shape = (seeds, len(dataset.indices(split)))
    return np.random.default_rng(0).dirichlet(np.ones(len(dataset.classes)), size=shape)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Data in the form of `shared/data`: two classes in the three splits."""
    folder = tmp_path_factory.mktemp("accuracy")
    (folder / "data" / SET).mkdir(parents=True)
    places, rng = Places(folder / "work", folder / "data"), random.Random(0)
    rows = [(f"r{i}", ("poor", "rich")[i % 2], ("train", "train", "validation", "test")[i // 2 % 4]) for i in range(64)]
    with gzip.open(places.sequences(SET), "wt") as file:
        file.writelines(f">{name}\n{random_sequence(rng, 200, gc=0.3 if label == 'poor' else 0.7)}\n" for name, label, _ in rows)
    places.labels(SET).write_text("id\tlabel\tsplit\n" + "".join("\t".join(row) + "\n" for row in rows))
    return places


def carried_out(places, run, **changes):
    dataset = accuracy_runs.prepared(places, SET, ())
    return accuracy_runs.carry_out(places, run, dataset, **{"threads": 1, "limit": 300, "retry": False} | changes)


def test_the_difference_of_one_seed_is_the_paired_gain(tmp_path):
    dataset = small_dataset(tmp_path)
    indices = dataset.indices("test")
    ours, theirs = random_probabilities(dataset, seeds=2)
    found = accuracy_figures.gain(dataset, "test", ours[None], theirs, resamples=200)
    groups = drawn_together(dataset, indices)
    expected = paired_gain(dataset.label_ids[indices], ours, theirs, groups=groups, resamples=200, confidence=0.9)
    assert [found[name] for name in ("difference", "low", "high")] == pytest.approx(
        [expected[name] for name in ("difference", "low", "high")]
    )


def test_the_difference_of_several_seeds_is_that_of_their_mean(tmp_path):
    dataset = small_dataset(tmp_path)
    labels = dataset.label_ids[dataset.indices("test")]
    *ours, theirs = random_probabilities(dataset, seeds=4)
    found = accuracy_figures.gain(dataset, "test", np.stack(ours), theirs, resamples=200)
    singles = [accuracy_figures.gain(dataset, "test", each[None], theirs, resamples=200) for each in ours]
    mean = np.mean([headline(labels, each)["macro_f1"] for each in ours]) - headline(labels, theirs)["macro_f1"]
    assert found["difference"] == pytest.approx(mean)
    assert found["high"] - found["low"] < np.mean([single["high"] - single["low"] for single in singles])


def test_a_run_is_read_from_its_predictions_and_done_once(places):
    run = Run(SET, "default", 5, TINY)
    assert carried_out(places, run) == "done"
    assert carried_out(places, run) == "done before"
    result = json.loads((places.run(run) / accuracy_runs.RESULT).read_text())
    dataset = accuracy_runs.prepared(places, SET, ())
    stored = np.load(places.run(run) / accuracy_runs.PROBABILITIES)
    assert stored["test"].shape == (16, 2)
    written = json.loads((places.run(run) / "run" / "evaluation" / "metrics.json").read_text())
    assert result["test"]["log_loss"] == pytest.approx(written["log_loss"], abs=1e-4)
    assert result["validation"] == headline(dataset.label_ids[dataset.indices("validation")], stored["validation"])
    assert (result["seed"], result["steps"], result["threads"]) == (5, 2, 1)
    assert result["wall_s"] > result["training_s"] > 0
    assert result["peak_memory_mb"] > 100

    figures = accuracy_table.collected(places, [SET], [5], list(VARIANTS), "test")
    assert list(figures["sets"][SET]["variants"]) == [run.name], "a trial is not taken for the default"
    assert figures["missing"]["default"][SET] == [5]
    assert f"| {SET}, {run.name} | 1 |" in accuracy_table.markdown(figures)
    json.dumps(figures, allow_nan=False)
    shown = accuracy_table.collected(places, [SET], [5], list(VARIANTS), "validation")
    assert list(shown["sets"][SET]["variants"][run.name]["against"]) == ["best_by_validation"], "the test split decides nothing here"


def test_a_wrong_call_is_no_result_and_a_run_out_of_time_is_one(places):
    wrong = Run(SET, "default", 0, ("model.nonsense=1",))
    assert "FAILED with 78" in carried_out(places, wrong)
    assert not (places.run(wrong) / accuracy_runs.FAILURE).exists()
    slow = Run(SET, "default", 0, ("train.steps=100000",))
    assert "killed by signal 9" in carried_out(places, slow, limit=0.3)
    assert "failed before" in carried_out(places, slow, limit=0.3)
    assert "FAILED" in carried_out(places, slow, limit=0.3, retry=True)


def test_two_processes_do_not_do_the_same_run(places):
    run = Run(SET, "default", 1, TINY)
    places.run(run).mkdir(parents=True)
    with (places.run(run) / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert carried_out(places, run) == "another process is at it"
    assert not (places.run(run) / accuracy_runs.RESULT).exists()


def test_rivals_are_fitted_once_a_dataset(places, monkeypatch):
    dataset = accuracy_runs.prepared(places, SET, ())
    tables = accuracy_rivals.fitted(places, SET, dataset)
    assert len(tables) == 12
    assert all(headline(dataset.label_ids[dataset.indices("test")], each["test"])["accuracy"] == 1 for each in tables.values())
    monkeypatch.setattr(accuracy_rivals, "fit_kmers", None)
    np.testing.assert_equal(accuracy_rivals.fitted(places, SET, dataset), tables)


def default_figures(*, low, high, seeds=(0, 1, 2), macro_f1=0.96, wall=100.0):
    gain = {"difference": (low + high) / 2, "low": low, "high": high}
    test = {name: {"mean": macro_f1} for name in ("macro_f1", "accuracy")}
    return {"seeds": list(seeds), "against": {"best_on_test": gain}, "test": test, "wall_s": {"values": [wall]}, "failed": []}


def judged(**of_sets):
    sets = {name: {"bases": 1_000_000, "variants": {"default": default_figures(low=0.01, high=0.02)}} for name in SETS}
    for name, figures in of_sets.items():
        sets[name]["variants"]["default"] = figures
    return accuracy_bars.bars(sets, [0, 1, 2])


def test_the_bars_are_read_from_the_intervals():
    first = judged()["1"]
    assert all(first["not_wholly_below_zero"].values())
    assert all(first["wholly_above_zero"].values())
    assert first["mean_above_zero"] is True
    first = judged(mito_kingdoms=default_figures(low=-0.02, high=-0.01))["1"]
    assert first["not_wholly_below_zero"]["mito_kingdoms"] is False
    assert first["wholly_above_zero"]["mito_kingdoms"] is False
    assert judged(mito_kingdoms=default_figures(low=-0.9, high=0.1))["1"]["mean_above_zero"] is False
    coding = judged(mouse_coding_vs_lncrna_2kb=default_figures(low=0.01, high=0.02, macro_f1=0.95))["1"]
    assert coding["longest_orf_rule_reached"] is False
    assert judged(insect_mito_orders=default_figures(low=0, high=0, wall=901))["4"]["in_time"]["insect_mito_orders"] is False


def test_a_bar_that_lacks_runs_is_open():
    judgement = judged(plasmid_host_genus=default_figures(low=0.01, high=0.02, seeds=(0,)))
    assert judgement["1"]["wholly_above_zero"]["plasmid_host_genus"] is None
    assert judgement["1"]["mean_above_zero"] is None
    assert judgement["2"]["mixing_off_at_chance"] is None
    assert judgement["3"]["complete"] is False


def test_one_strand_is_no_variant_of_what_is_read_on_one_strand():
    assert Run("mito_order_24kb", "one_strand", 0).redundant
    assert not Run("insect_mito_orders", "one_strand", 0).redundant
