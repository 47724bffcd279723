"""The synthetic tasks of benchmarks/: what is asked is what is published, and a run leaves a row and a picture."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import synthetic
import synthetic_plot

COUNT, LENGTH = 400, 30


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_adding_asks_for_the_two_marked_numbers():
    signals, answers = synthetic.adding(seeded(), COUNT, LENGTH)
    numbers, marks = signals.unbind(1)
    assert (marks.sum(1) == 2).all()
    assert set(marks.unique().tolist()) == {0, 1}
    assert numbers.min() >= -1
    assert numbers.max() <= 1
    assert numbers.std() == pytest.approx(3**-0.5, abs=0.01)
    assert torch.allclose(answers, 0.5 + (numbers * marks).sum(1) / 4)
    assert answers.min() >= 0
    assert answers.max() <= 1


def test_order_asks_for_two_letters_and_which_came_first():
    signals, classes = synthetic.order(seeded(), COUNT, LENGTH)
    letters = signals.argmax(1)
    assert (signals.sum(1) == 1).all()
    for row, kind in zip(letters.tolist(), classes.tolist(), strict=True):
        assert ["XX", "XY", "YX", "YY"][kind] == "".join("abcdXY"[letter] for letter in row if letter >= 4)
    assert torch.bincount(classes, minlength=4).min() > COUNT / 6
    assert torch.bincount(letters.flatten(), minlength=6)[:4].min() > COUNT * LENGTH / 5


def test_positions_lie_anywhere_and_differ():
    first, second = synthetic.two_positions(seeded(), 5000, 6)
    assert (first < second).all()
    pairs = torch.bincount(first * 6 + second, minlength=36)
    assert (pairs > 0).sum() == 15
    assert pairs[pairs > 0].min() > 5000 / 15 * 0.8


def test_an_answer_is_wrong_from_the_published_tolerance_on():
    answers = torch.zeros(4)
    assert synthetic.adding_wrong(torch.tensor([[0.03], [-0.039], [0.041], [-0.5]]), answers).tolist() == [False, False, True, True]


@pytest.mark.parametrize("task", synthetic.TASKS)
@pytest.mark.parametrize("model", synthetic.MODELS)
def test_every_model_can_be_asked(task, model):
    net = synthetic.network(task, model, LENGTH, "mean")
    signals, answers = synthetic.TASKS[task][0](seeded(), 4, LENGTH)
    assert synthetic.TASKS[task][1](synthetic.answer(net, signals), answers).isfinite()


def test_mixing_is_all_that_sets_the_models_apart():
    sizes = {model: sum(p.numel() for p in synthetic.network("order", model, 128, "mean").parameters()) for model in synthetic.MODELS}
    without = sizes.pop("none")
    assert all(without < size for size in sizes.values())


def trained(monkeypatch, model, **changes):
    monkeypatch.setattr(synthetic, "STEPS", 20)
    monkeypatch.setattr(synthetic, "EVALUATED", 80)
    return synthetic.train("adding", model, 8, Namespace(**({"seed": 0, "readout": "mean", "minutes": 5.0, "every": 10} | changes)))


def test_a_row_says_how_training_ended(monkeypatch):
    row = trained(monkeypatch, "none")
    assert (row["steps"], row["ended"]) == (20, "step limit")
    assert [step for step, _ in row["evaluations"]] == [10, 20]
    assert row["error"] == row["evaluations"][-1][1] > 0
    early = trained(monkeypatch, "none", minutes=0.0)
    assert (early["steps"], early["ended"]) == (1, "stopped by time")


def test_training_stops_where_the_bar_is_passed_twice(monkeypatch):
    errors = iter([0.01, 0.02, 0.0, 0.005])
    monkeypatch.setattr(synthetic, "evaluate", lambda *_: next(errors))
    row = trained(monkeypatch, "none")
    assert (row["steps"], row["ended"], row["error"]) == (20, "bar passed", 0.005)
    assert row["evaluations"] == [(10, 0.01), (10, 0.02), (20, 0.0), (20, 0.005)]


def test_rows_are_added_replaced_and_drawn(monkeypatch, tmp_path):
    row = trained(monkeypatch, "none", minutes=0.0)
    path = tmp_path / "results" / "rows.json"
    for changes in ({}, {"length": 16}, {"error": 0.25}):
        synthetic.add(path, row | changes)
    rows = json.loads(path.read_text())
    assert [(each["length"], each["error"]) for each in rows] == [(8, 0.25), (16, row["error"])]
    assert {"machine", "versions", "commit", "threads"} <= set(rows[0])
    synthetic_plot.draw(rows, tmp_path / "plot.svg", synthetic.BAR)
    assert (tmp_path / "plot.svg").read_text().count("<polyline") == 1
