"""What the network's composition branch says by itself, beside the whole network: the figures, the gain over it, and where none of it is shown."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_data import MODEL, TOKENIZER, TRAINING, small_dataset
from test_report import Page, made_inputs, made_metrics, probabilities

from genomix.bundle import Bundle, describe_folder, load_bundle, new_model
from genomix.card import model_card
from genomix.data.related import drawn_together
from genomix.evaluate import composition_probabilities, evaluate, split_probabilities
from genomix.metrics import compare, headline, paired_gain, summary_lines
from genomix.report.caveats import caveats
from genomix.report.checks import gain_rows
from genomix.report.content import comparison
from genomix.report.page import render
from genomix.scorer import PredictSettings, build_scorer
from genomix.train.choice import SURE
from genomix.train.run import train


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run_folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(dataset, TOKENIZER, MODEL, TRAINING, folder)
    return folder


def silenced(run_folder):
    """The trained model, whose head says nothing."""
    bundle = replace(load_bundle(run_folder), confidence=None)
    for parameter in bundle.model.head[-1].parameters():
        torch.nn.init.zeros_(parameter)
    return bundle


def validations(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == "validation"]


def test_every_validation_is_held_against_what_training_began_with(run_folder, dataset, tmp_path):
    """Record by record: the run knows by how many standard errors it is beyond it, also once it was resumed."""
    first, *later = validations(run_folder)
    assert "beyond_start" not in first
    assert len(later) > 1
    assert all(math.isfinite(row["beyond_start"]) for row in later)
    kept = [row["beyond_start"] for row in later if row["best"]]
    assert not kept or kept[0] > SURE
    shutil.copytree(run_folder, tmp_path / "resumed")
    newest = max((tmp_path / "resumed" / "checkpoints").glob("step-*.pt"))
    newest.unlink()
    train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path / "resumed", resume=True)
    assert newest.exists()
    assert validations(tmp_path / "resumed") == [first, *later]


# ---- what it says ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("overlap", [0.0, 0.6])
def test_it_is_what_the_network_answers_where_all_else_says_nothing(run_folder, dataset, overlap, circular):
    """Of records that are read in windows too, and on both strands."""
    bundle, records = replace(silenced(run_folder), circular=circular), dataset.indices("test")
    scorer = build_scorer(bundle, PredictSettings(overlap=overlap))
    scorer.reader = replace(scorer.reader, max_tokens=60)
    assert max(scores.windows for scores in scorer.score(dataset.codes(index) for index in records)) > 3
    alone = composition_probabilities(scorer, dataset, records)
    assert np.array_equal(alone, split_probabilities(scorer, dataset, records))
    torch.nn.init.normal_(bundle.model.head[-1].weight, std=3)
    assert np.array_equal(composition_probabilities(scorer, dataset, records), alone)
    assert not np.allclose(split_probabilities(scorer, dataset, records), alone, atol=0.05)


def test_the_temperature_of_the_network_is_not_its(run_folder, dataset):
    bundle, records = silenced(run_folder), dataset.indices("test")
    warm = replace(bundle, confidence=load_bundle(run_folder).confidence.model_copy(update={"temperature": 3.0}))
    plain, same = (composition_probabilities(build_scorer(each, PredictSettings()), dataset, records) for each in (bundle, warm))
    assert np.array_equal(plain, same)
    assert not np.allclose(split_probabilities(build_scorer(warm, PredictSettings()), dataset, records), plain, atol=1e-3)


def test_a_run_writes_its_figures_down_and_the_paired_gain_over_it(run_folder, dataset):
    written = json.loads((run_folder / "evaluation" / "metrics.json").read_text())
    bundle, records = load_bundle(run_folder), dataset.indices("test")
    scorer, labels, groups = build_scorer(bundle, PredictSettings()), dataset.label_ids[records], drawn_together(dataset, records)
    ours, alone = (read(scorer, dataset, records) for read in (split_probabilities, composition_probabilities))
    found, figures, gain = written["composition"], headline(labels, alone), paired_gain(labels, ours, alone, groups=groups)
    assert {name: found[name] for name in figures} == pytest.approx(figures, rel=1e-6)
    assert found["gain"].pop("metric") == gain.pop("metric")
    assert found["gain"] == pytest.approx(gain, rel=1e-6)
    assert "composition" not in written["baselines"]
    assert "composition" not in written["gains"]


@pytest.mark.parametrize("branch", [False, True])
def test_a_network_without_the_branch_or_with_one_that_was_not_fitted_shows_none(dataset, branch):
    model = new_model(MODEL.model_copy(update={"composition": branch}), TOKENIZER, 2)
    metrics = evaluate(Bundle(model, TOKENIZER, dataset.classes, "both", circular=False), dataset, checks=False)
    assert metrics["composition"] is None
    assert not [line for line in summary_lines(metrics) if "composition" in line]


# ---- where it is shown -------------------------------------------------------------------------------------------------------------------------------

LABELS = np.arange(90) % 3


def metrics_of(*, wrong=3, alone_wrong=20, **options):
    return made_metrics(wrong=wrong, composition=probabilities(LABELS, 3, wrong=alone_wrong), **options)


def test_all_but_its_own_entry_is_as_without_it():
    with_it, without = metrics_of(), made_metrics()
    assert with_it.pop("composition") is not None
    assert without.pop("composition") is None
    assert with_it == without


def test_it_is_best_of_nothing_even_where_it_is_best():
    metrics = metrics_of(wrong=20, alone_wrong=0)
    assert metrics["gain"]["baseline"] == "kmer6"
    assert metrics["composition"]["gain"]["high"] < 0


def test_the_terminal_has_a_line_and_a_column():
    lines = summary_lines(metrics_of())
    gain = metrics_of()["composition"]["gain"]
    assert lines[1] == (
        f"gain over the network's composition branch alone: macro-F1 {gain['difference']:+.3f} "
        f"({metrics_of()['macro_f1']:.3f} against {metrics_of()['composition']['macro_f1']:.3f}; 95% interval {gain['low']:+.3f} to {gain['high']:+.3f})"
    )
    assert lines[3].split() == ["network", "composition", "majority", "6-mers"]
    accuracy = next(line for line in lines if line.startswith("accuracy"))
    assert accuracy.split()[1:] == ["0.967", "[0.922,", "1.000]", "0.778", "0.333", "0.667"]


def test_without_an_interval_there_is_none_in_the_words():
    metrics = metrics_of(groups=np.array(["a", "b", "c"])[LABELS])
    assert "no interval" in summary_lines(metrics)[1]
    text = Page(render(made_inputs(metrics=metrics))).text
    assert "composition branch alone: +0.189; 0.967 against 0.778; no interval, as too few records are unrelated." in text


def test_ranks_have_it_too():
    labels, classes = np.arange(40) % 4, ("A;x", "A;y", "B;x", "B;y")
    ours, alone = probabilities(labels, 4), probabilities(labels, 4, wrong=10)
    metrics = compare(labels, classes, ours, {"kmer4": probabilities(labels, 4, wrong=4)}, composition=alone, split="test", resamples=50)
    first, last = metrics["ranks"]
    assert last["composition"]["macro_f1"] == pytest.approx(metrics["composition"]["macro_f1"])
    assert first["composition"]["accuracy"] > last["composition"]["accuracy"]
    rows = [line.split() for line in summary_lines(metrics)[-3:]]
    assert rows[0][-3:] == ["composition's", "best", "baseline's"]
    assert rows[2][5] == f"{last['composition']['macro_f1']:.3f}"
    assert "composition branch's macro-F1" in Page(render(made_inputs(metrics=metrics))).text


def test_the_report_has_it_beside_the_network_and_says_what_it_is():
    metrics = metrics_of()
    page = Page(render(made_inputs(metrics=metrics)))
    gain = metrics["composition"]["gain"]
    assert (
        f"Gain in macro-F1 over the network's composition branch alone: {gain['difference']:+.3f}; 0.967 against 0.778; 95% interval"
        in page.text
    )
    assert "Gain over each baseline and over composition alone" in page.text
    assert "logistic regression that was fitted before training" in page.text
    table = comparison(metrics)
    assert table["columns"] == ["network", "composition", "6-mers", "majority"]
    assert [cell.text for cell in table["rows"][0]["cells"]] == ["0.967", "0.778", "0.667", "0.333"]
    assert [cell.text for cell in gain_rows(metrics)[0]] == [
        "the network's composition branch alone",
        "0.778",
        f"{gain['difference']:+.3f}",
    ]


def test_the_report_of_a_network_without_it_does_not_speak_of_it():
    text = Page(render(made_inputs(metrics=made_metrics()))).text
    assert "omposition branch" not in text
    assert "composition alone" not in text
    assert comparison(made_metrics())["columns"] == ["network", "6-mers", "majority"]


@pytest.mark.parametrize(
    ("wrong", "alone_wrong", "said"),
    [
        (3, 30, None),
        (3, 3, "Gain over composition not shown"),
        (3, 6, "Gain over composition not shown"),
        (30, 3, "Below its composition branch"),
    ],
)
def test_a_gain_that_is_not_shown_is_not_claimed(wrong, alone_wrong, said):
    titles = {caveat.title for caveat in caveats(made_inputs(metrics=metrics_of(wrong=wrong, alone_wrong=alone_wrong)))}
    assert {title for title in titles if "composition" in title} == ({said} if said else set())


def test_the_card_has_the_gain_and_says_where_it_is_not_shown(run_folder):
    description = describe_folder(run_folder)
    basis = description["evaluation"]["basis"]
    metrics = json.loads((run_folder / "evaluation" / "metrics.json").read_text())
    assert basis["composition"] == {name: metrics["composition"][name] for name in ("macro_f1", "gain")}

    def card(composition):
        return model_card(description | {"evaluation": description["evaluation"] | {"basis": basis | {"composition": composition}}})

    unclear = "not shown to reach a higher macro-F1 than its composition branch alone"
    gain = basis["composition"]["gain"]
    clear = card({"macro_f1": 0.5, "gain": gain | {"difference": 0.25, "low": 0.125, "high": 0.375}})
    assert "| macro f1 of the network's composition branch alone | 0.500 |" in clear
    assert "| gain over its composition branch alone | macro-F1 +0.250 (+0.125 to +0.375) |" in clear
    assert unclear not in clear
    assert unclear in card({"macro_f1": 0.5, "gain": gain | {"difference": 0.25, "low": 0.0, "high": 0.5}})
    rough = card({"macro_f1": 0.5, "gain": gain | {"difference": 0.25, "low": None, "high": None}})
    assert unclear in rough
    assert "macro-F1 +0.250 (too few independent records for an interval)" in rough
    assert "composition branch" not in card(None)
    assert "composition branch" not in model_card(
        description
        | {"evaluation": description["evaluation"] | {"basis": {name: value for name, value in basis.items() if name != "composition"}}}
    )
