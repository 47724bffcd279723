"""Promises about probabilities: temperatures, label sets, priors and novelty do on generated data what they say, and the command line says so in one line."""

import csv
import io
import json
import random
import shutil
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from small_data import MODEL, TOKENIZER, TRAINING, random_sequence, small_dataset, write_fasta
from test_report import made_inputs, made_metrics

from genomix import bundle as bundle_module
from genomix.bundle import describe_folder, load_bundle
from genomix.card import _confidence, model_card
from genomix.cli.main import main
from genomix.confidence import (
    Confidence,
    at_temperature,
    build_decision,
    class_scores,
    fit_novelty,
    fit_temperature,
    label_thresholds,
    read_prior,
    reweighted,
)
from genomix.confidence.conformal import fewest_records, judged_together, too_few_alone
from genomix.confidence.figures import confidence_figures, risk_coverage, set_figures
from genomix.confidence.novelty import Novelty, ranks
from genomix.data.balance import weights_for
from genomix.errors import UsageError
from genomix.evaluate import evaluate
from genomix.metrics import headline
from genomix.metrics.promise import lowest_error
from genomix.predict import predict
from genomix.records import Prediction, SequenceRecord
from genomix.report.page import render
from genomix.report.predictions import write_predictions
from genomix.scorer import PredictSettings, build_scorer
from genomix.train.confidence import with_confidence
from genomix.train.run import train


def drawn(records, *, classes=3, sharpness=2.0, seed=0, weights=None):
    """Labels drawn from their very probabilities: calibrated by construction."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(records, classes)) * sharpness + np.log(weights or [1] * classes)
    probabilities = softmax(logits, axis=1)
    return (rng.random((records, 1)) > probabilities.cumsum(1)).sum(1).clip(max=classes - 1), probabilities


# ---- temperature -------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_that_spoiled_probabilities_is_found(true):
    labels, honest = drawn(4_000)
    spoiled = at_temperature(honest, 1 / true)
    found = fit_temperature(labels, spoiled, np.ones(4_000))
    assert found == pytest.approx(true, rel=0.08)
    assert headline(labels, at_temperature(spoiled, found))["ece"] < 0.03


@given(st.integers(1, 30), st.integers(0, 100))
def test_a_few_records_without_an_error_do_not_make_a_network_sure(records, seed):
    labels, probabilities = drawn(records, seed=seed)
    labels = probabilities.argmax(1)
    assert 0.3 < fit_temperature(labels, probabilities, np.ones(records)) < 1.5
    assert 0.3 < fit_temperature(labels[:1], np.array([[1.0, 0.0, 0.0]]), np.ones(1)) <= 10


@pytest.mark.parametrize("rare", [0.5, 0.2, 0.02])
def test_right_probabilities_of_balanced_classes_are_left_as_they_are_whatever_the_validation_split_holds(rare):
    """A is normal around 0, B around 2 with twice the spread; by records as they come .02 of B gave a temperature of .51, and --prior then corrected for it again."""
    rng = np.random.default_rng(7)
    labels = (rng.random(6_000) < rare).astype(int)
    values = rng.normal(2.0 * labels, 1.0 + labels)
    densities = np.stack([np.exp(-(values**2) / 2), np.exp(-((values - 2) ** 2) / 8) / 2], 1)
    balanced = densities / densities.sum(1, keepdims=True)
    assert fit_temperature(labels, balanced, weights_for([0.5, 0.5], labels)) == pytest.approx(1, abs=0.15)


def test_a_temperature_keeps_the_order_and_the_sum():
    _, probabilities = drawn(50)
    warm = at_temperature(probabilities, 3.0)
    assert np.array_equal(warm.argsort(1), probabilities.argsort(1))
    assert warm.sum(1) == pytest.approx(1)
    assert at_temperature(probabilities, 1.0) is probabilities
    assert np.isfinite(at_temperature(np.array([[1.0, 0.0]]), 2.0)).all()


# ---- label sets --------------------------------------------------------------------------------------------------------------------------------------


def test_the_promise_is_kept_class_by_class_however_bad_the_probabilities_are():
    """Over 40 fresh calibration sets; the probabilities are far too sure, and one class is rare."""
    errors = []
    for seed in range(40):
        labels, honest = drawn(3_000, sharpness=1.0, seed=seed, weights=[8, 3, 1])
        probabilities = at_temperature(honest, 0.3)
        lowest = label_thresholds(class_scores(labels[:1_000], probabilities[:1_000]), 0.1)
        inside = probabilities[1_000:] >= lowest
        errors.append([1 - inside[labels[1_000:] == label, label].mean() for label in range(3)])
    mean = np.mean(errors, axis=0)
    assert (mean < 0.105).all()
    assert (mean > 0.08).all()


@given(st.integers(1, 60), st.floats(0.02, 0.5), st.integers(0, 1000))
def test_a_threshold_is_the_lowest_score_that_the_correction_allows(records, error, seed):
    """The definition by p-values: a class is in the set when (1 + scores at or below) / (n + 1) is above the error."""
    scores = tuple(np.sort(np.random.default_rng(seed).random(records)).tolist())
    if (1 / error) - 1 > records:
        with pytest.raises(UsageError, match=f"calibrated on {records}"):
            label_thresholds((scores,), error)
        return
    (lowest,) = label_thresholds((scores,), error)
    for probability in (*scores, 0.0, 1.0, lowest - 1e-9):
        p_value = (1 + sum(score <= probability for score in scores)) / (records + 1)
        assert (probability >= lowest) == (p_value > error + 1e-12)


def test_classes_with_too_few_records_are_judged_together():
    assert judged_together(np.array([19, 40, 100]), 0.05).tolist() == []
    assert judged_together(np.array([8, 40, 12]), 0.05).tolist() == [0, 2]
    assert judged_together(np.array([8, 40, 100]), 0.05).tolist() == [0, 1]  # 8 alone have no threshold: the smallest of the others joins
    assert judged_together(np.array([0, 5, 14]), 0.05).tolist() == [0, 1, 2]
    scores = (tuple(np.linspace(0.1, 0.9, 8)), tuple(np.linspace(0.5, 0.9, 40)), ())
    lowest = label_thresholds(scores, 0.05)
    assert lowest[0] == lowest[1] == lowest[2]
    said = too_few_alone(("a", "b", "c"), scores, 0.05)
    assert said.startswith(
        "--error 0.05 holds for each class that has 19 validation records; for 'c' (0), 'a' (8), 'b' (40) it holds at most for all of them together"
    )
    assert too_few_alone(("a", "b"), (scores[1], scores[1]), 0.05) is None
    with pytest.raises(
        UsageError, match=r"an error of 0.01 needs 99 validation records at least, and the model was calibrated on 48"
    ) as caught:
        label_thresholds(scores, 0.01)
    promised = float(caught.value.hint.split()[1])
    assert label_thresholds(scores, promised) is not None


def decide(error=None, prior=None, **changes):
    confidence = Confidence(
        balance=(0.5, 0.25, 0.25),
        records=300,
        temperature=1.0,
        scores=tuple(tuple(np.linspace(0.3, 1, 100)) for _ in range(3)),
        distances=(),
    )
    return build_decision(("a", "b", "c"), confidence, None, **{"threshold": 0.0, "error": error, "prior": prior} | changes)


def test_one_label_is_classified_and_none_or_several_are_not():
    decision = decide(error=0.1)
    sure, torn, lost = (decision(np.array(each)) for each in ([0.9, 0.06, 0.04], [0.15, 0.4, 0.45], [0.34, 0.33, 0.33]))
    assert (sure.label, sure.labels) == ("a", ("a",))
    assert (torn.label, torn.labels) == ("", ("c", "b"))
    assert (lost.label, lost.labels) == ("", ())
    assert decide(error=0.1, threshold=0.95)(np.array([0.9, 0.06, 0.04])).label == ""
    assert decide()(np.array([0.15, 0.4, 0.45])).labels is None


def test_far_records_are_spoken_of_where_chance_does_not_explain_them():
    decision = replace(decide(), reference=Novelty(np.eye(1), np.zeros((1, 1))), distances=np.arange(200.0))

    def remark(far, of):
        return decision.remark(np.array([0.995] * far + [0.2] * (of - far)))

    assert remark(0, 100) is remark(1, 33) is remark(2, 33) is remark(12, 1_000) is None
    assert "8 of 33 records" in remark(8, 33)
    assert "60 of 1000 records" in remark(60, 1_000)


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        (1, "than the one validation record did"),
        (10, "than all 10 validation records did"),
        (200, "than 199 of the 200 validation records did"),
    ],
)
def test_how_far_they_lie_is_told_in_validation_records(validation, said):
    distances = np.arange(float(validation))
    decision = replace(decide(), reference=Novelty(np.eye(1), np.zeros((1, 1))), distances=distances)
    assert said in decision.remark(ranks(np.full(3_000, validation + 1.0), distances))


@pytest.mark.parametrize(("validation", "records"), [(12, 1_000), (100, 10_000), (1_000, 10_000)])
def test_records_like_the_validation_records_are_spoken_of_as_rarely_as_promised(validation, records):
    """One run in a thousand; a binomial probability, which takes the validation records for the whole truth, spoke in up to a third of them."""
    rng = np.random.default_rng(0)
    spoken = 0
    for _ in range(300):
        distances = np.sort(rng.normal(size=validation))
        decision = replace(decide(), reference=Novelty(np.eye(1), np.zeros((1, 1))), distances=distances)
        spoken += decision.remark(ranks(rng.normal(size=records), distances)) is not None
    assert spoken <= 3


def test_a_set_begins_with_what_is_most_probable_for_the_balance_asked_for():
    answer = decide(error=0.1, prior=np.array([0.02, 0.96, 0.02]))(np.array([0.5, 0.45, 0.05]))
    assert answer.labels == ("b", "a")
    assert answer.probabilities[1] > answer.probabilities[0]


def test_a_strand_that_nothing_was_calibrated_on_is_a_warning(run_folder, fasta, caplog):
    for words, said in (([], False), (["--strand", "both"], False), (["--strand", "forward"], True)):
        caplog.clear()
        assert main(["predict", str(run_folder), fasta, *words]) == 0
        assert ("calibrated with strand both" in caplog.text) == said


def test_the_card_names_what_a_model_can_do(run_folder):
    assert "there is `--threshold`, `--error`, `--max-novelty`. Do not" in (run_folder / "model" / "README.md").read_text()


def test_a_card_without_an_evaluation_speaks_of_no_test_split_and_what_has_no_value_is_a_dash(run_folder):
    description = describe_folder(run_folder)
    assert "as the test split did" in model_card(description)
    card = model_card(description | {"evaluation": None})
    assert "How good this model is, is not known" in card
    assert "as the test split did" not in card
    assert "| roc auc | \N{EN DASH} |" in model_card(description | {"evaluation": description["evaluation"] | {"roc_auc": None}})


def test_the_card_says_what_its_figures_rest_on(run_folder):
    description = describe_folder(run_folder)
    evaluation, metrics = description["evaluation"], json.loads((run_folder / "evaluation" / "metrics.json").read_text())
    card = (run_folder / "model" / "README.md").read_text()
    low, high = metrics["intervals"]["macro_f1"]
    assert f"| macro f1 | {metrics['macro_f1']:.3f} ({low:.3f} to {high:.3f}) |" in card
    gain, units = metrics["gain"], min(metrics["bootstrap"]["units"], metrics["bootstrap"]["families"])
    assert f"| gain over it | macro-F1 {gain['difference']:+z.3f} ({gain['low']:+z.3f} to {gain['high']:+z.3f}) |" in card
    assert f"| records independent of each other | {units} |" in card
    assert "| split | at random within each class (seed 0) |" in card
    assert f"| test records at least 0.95 like a training record | {metrics['by_similarity']['near']['records']} |" in card
    assert f"classes with test records | {len(description['classes'])} of {len(description['classes'])} |" in card
    assert ("not shown to do better" in card) == (gain["low"] <= 0)

    rough = evaluation["basis"] | {
        "intervals": dict.fromkeys(evaluation["basis"]["intervals"]),
        "gain": gain | {"low": None, "high": None},
        "classes_without_records": ["a`b", "c"],
        "near_duplicates": None,
        "warnings": ["Shortcut: length"],
    }
    card = model_card(description | {"evaluation": evaluation | {"basis": rough}})
    assert f"| macro f1 | {metrics['macro_f1']:.3f} |" in card
    assert "No test record is of `` a`b ``, `c`: nothing" in card
    assert "too few of the test records are independent" in card
    assert "Warnings of the audit, which the run's report explains: Shortcut: length." in card
    assert "like a training record" not in card
    assert f"may still be up to {min(3 / units, 1):.1%} (95%)" in card


def test_a_model_of_an_earlier_genomix_has_a_card_without_them(run_folder):
    description = describe_folder(run_folder)
    older = {name: value for name, value in description["evaluation"].items() if name != "basis"}
    card = model_card(description | {"evaluation": older})
    assert f"| gain over it | {older['gain_over_it']} |" in card
    assert "independent of each other" not in card


def test_observed_figures_of_sets():
    labels, probabilities = np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.5, 0.5], [0.8, 0.2], [0.45, 0.55]])
    assert set_figures(labels, probabilities, np.array([0.4, 0.4])) == {
        "observed_error": 0.25,
        "size": 1.5,
        "classified": 0.5,
        "classified_error": 0.5,
    }
    assert set_figures(labels, probabilities, np.array([1.1, 1.1]))["classified_error"] is None


def test_risk_over_coverage_ends_at_the_error_of_all_and_its_thresholds_are_what_threshold_does():
    labels, probabilities = drawn(1_000)
    rows = risk_coverage(labels, probabilities)
    assert rows[-1]["coverage"] == 1
    assert rows[-1]["risk"] == pytest.approx(1 - headline(labels, probabilities)["accuracy"])
    assert len(rows) <= 200
    for row in rows[::20]:
        kept = probabilities.max(1) >= row["threshold"]
        assert row["coverage"] == pytest.approx(kept.mean())
        assert row["risk"] == pytest.approx((probabilities.argmax(1) != labels)[kept].mean())
    tied = risk_coverage(np.array([0, 1, 0]), np.full((3, 2), 0.5))
    assert tied == [{"threshold": 0.5, "coverage": 1.0, "risk": pytest.approx(1 / 3)}]


# ---- priors ------------------------------------------------------------------------------------------------------------------------------------------


def test_a_prior_gives_the_posteriors_of_that_balance():
    """Two normal classes: Bayes under the wanted balance, computed from the densities, against the re-weighted posteriors of the learned one."""
    x = np.linspace(-3, 3, 50)
    densities = np.exp(-((x[:, None] - [-1, 1]) ** 2) / 2)
    learned, wanted = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    before, after = (densities * prior / (densities * prior).sum(1, keepdims=True) for prior in (learned, wanted))
    assert reweighted(before, wanted / learned) == pytest.approx(after)
    assert reweighted(np.array([[1.0, 0.0]]), np.array([0.0, 2.0])).tolist() == [[0.0, 1.0]]


def test_a_prior_changes_the_label_and_never_the_set():
    probabilities = np.array([0.6, 0.35, 0.05])
    plain, turned = decide(error=0.1)(probabilities), decide(error=0.1, prior=np.array([0.05, 0.9, 0.05]))(probabilities)
    assert plain.labels == turned.labels
    assert decide()(probabilities).label == "a"
    answer = decide(prior=np.array([0.05, 0.9, 0.05]))(probabilities)
    assert answer.label == "b"
    expected = probabilities * [0.1, 3.6, 0.2]
    assert answer.probabilities == pytest.approx(expected / expected.sum())
    assert answer.margin == pytest.approx(answer.probability - answer.probabilities[0])


def test_priors_in_words_and_in_a_table(tmp_path):
    names = ("A", "B=1, x")
    (tmp_path / "p.tsv").write_text("class\tprior\nB=1, x\t0.25\nA\t0.75\n")
    assert read_prior(str(tmp_path / "p.tsv"), names).tolist() == [0.75, 0.25]
    (tmp_path / "p.tsv").write_text("A\t0.75\nB=1, x\t0.25\n", encoding="utf-8-sig")
    assert read_prior(str(tmp_path / "p.tsv"), names).tolist() == [0.75, 0.25]
    assert read_prior("B=0.1,A=0.9", ("A", "B")).tolist() == [0.9, 0.1]
    assert read_prior("e\u0301\u00a0=0.1,A=0.9", ("A", "\u00e9")).tolist() == [0.9, 0.1]  # as a Mac writes it
    assert read_prior("a=b=0.333,c=0.667", ("a=b", "c")).sum() == pytest.approx(1)
    many = tuple(f"Escherichia_coli_strain_{number:03d}" for number in range(100))
    assert read_prior(",".join(f"{name}=0.01" for name in many), many).sum() == pytest.approx(1)  # longer than a file's name may be


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A=0.9,C=0.1", "no class 'C'"),
        ("A=0.9", "no value for class 'B'"),
        ("A=0.9,B=0.2", "add up to 1.1, expected 1"),
        ("A=0.5,A=0.5", "named twice"),
        ("A=1.5,B=-0.5", "'-0.5', expected a number"),
        ("A=x,B=1", "'x', expected a number"),
        ("A=nan,B=1", "'nan', expected a number"),
        ("prior.tsv", "expected CLASS=NUMBER, found 'prior.tsv', and no file"),
    ],
)
def test_a_wrong_prior_is_one_line(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        read_prior(text, ("A", "B"))
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_class_of_prior_0_is_in_no_set():
    torn = np.array([0.15, 0.4, 0.45])
    assert decide(error=0.1)(torn).labels == ("c", "b")
    answer = decide(error=0.1, prior=np.array([0.5, 0.5, 0.0]))(torn)
    assert (answer.labels, answer.label) == (("b",), "b")
    nothing = decide(error=0.1, prior=np.array([1.0, 0.0, 0.0]))(torn)
    assert (nothing.labels, nothing.label) == ((), "")


def test_no_prior_for_a_class_that_training_never_saw():
    confidence = Confidence(balance=(1.0, 0.0))
    with pytest.raises(UsageError, match="no training record is of class 'b'"):
        build_decision(("a", "b"), confidence, None, threshold=0, prior=np.array([0.5, 0.5]))
    assert build_decision(("a", "b"), confidence, None, threshold=0, prior=np.array([1.0, 0.0])).ratio.tolist() == [1.0, 0.0]


# ---- novelty -----------------------------------------------------------------------------------------------------------------------------------------


def test_distances_are_those_of_mahalanobis_where_records_are_plenty():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 2], 4_000)
    features = rng.normal(size=(8_000, 3)) * [0.1, 0.02, 0.05] + np.where(labels[:, None] == 0, [1, 0, 0], [0, 1, 0])
    novelty = fit_novelty(labels, features)
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True)
    means = np.stack([scaled[labels == label].mean(0) for label in (0, 2)])
    precision = np.linalg.inv(np.cov((scaled - means[labels // 2]).T, bias=True))
    some = scaled[::100]
    expected = np.sqrt(np.min([np.einsum("nd,de,ne->n", some - mean, precision, some - mean) for mean in means], axis=0))
    assert novelty.distances(features[::100]) == pytest.approx(expected, rel=0.05)


def test_more_features_than_records_and_features_that_never_move():
    rng = np.random.default_rng(1)
    features = np.c_[rng.normal(size=(20, 60)), np.zeros((20, 4))]
    novelty = fit_novelty(np.arange(20) % 2, features)
    assert np.isfinite(novelty.distances(features)).all()
    assert np.isfinite(fit_novelty(np.array([0, 1]), features[:2]).distances(features)).all()


def one_by_one(novelty, features):
    """The definition: class by class, from the differences."""
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True)
    projected = scaled @ novelty.projection.astype(np.float64)
    return np.min([np.linalg.norm(projected - center, axis=1) for center in novelty.centers.astype(np.float64)], axis=0)


@pytest.mark.parametrize("at_once", [1, 40, 1 << 21])
@pytest.mark.parametrize(("stretch", "away"), [(1, 0), (10, 1e3), (1e8, 0), (1, 1e8)])
def test_distances_are_those_of_the_definition_near_0_and_far_out(stretch, away, at_once, monkeypatch):
    """With a stretch or an offset of 1e8 a product of matrices has no digit left of the distances."""
    monkeypatch.setattr("genomix.confidence.novelty._AT_ONCE", at_once)
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 12))
    projection = (rng.normal(size=(12, 12)) * stretch).astype(np.float32)
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True)
    centers = (scaled[:30] @ projection.astype(np.float64) + rng.choice([0, 1e-6, 1], size=(30, 1)) + away).astype(np.float32)
    novelty = Novelty(projection, centers)
    assert novelty.distances(features) == pytest.approx(one_by_one(novelty, features), rel=1e-9, abs=1e-13 * max(stretch, away))
    assert novelty.distances(features[:0]).tolist() == []


def test_records_like_those_of_validation_are_above_a_novelty_as_often_as_it_says():
    rng = np.random.default_rng(2)
    rates = [(ranks(rng.normal(size=500), np.sort(rng.normal(size=99))) >= 0.95).mean() for _ in range(100)]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.01)
    assert ranks(np.array([9.0, -9.0, 1.0]), np.array([0.0, 1.0, 2.0])).tolist() == [0.75, 0.0, 0.25]


# ---- a trained model ---------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"), records=150, shortest=150, longest=300)


@pytest.fixture(scope="module")
def run_folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(dataset, TOKENIZER, MODEL, TRAINING, folder)
    return folder


@pytest.fixture
def fasta(tmp_path):
    rng = random.Random(9)
    sequences = {f"r{number}": random_sequence(rng, 200, gc=(0.3, 0.7)[number % 2]) for number in range(40)}
    return str(write_fasta(tmp_path / "new.fa", sequences | {"short": "AC"}))


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text), dialect="excel-tab"))


def test_what_is_learned_comes_back_from_the_folder_and_stands_on_the_card(run_folder, dataset):
    bundle = load_bundle(run_folder)
    known = bundle.confidence
    validation = dataset.indices("validation")
    assert known.records == len(validation) == sum(map(len, known.scores)) == len(known.distances)
    assert known.balance == pytest.approx((0.5, 0.5))
    raw = [s.probabilities for s in build_scorer(load_bundle(run_folder), PredictSettings()).score([dataset.codes(i) for i in validation])]
    own = np.stack(raw)[np.arange(len(validation)), dataset.label_ids[validation]]
    assert np.sort(own) == pytest.approx(np.sort(np.concatenate(known.scores)), rel=1e-4)  # calibrated ones, as predict gives them
    again = build_scorer(bundle, PredictSettings(), features=True)
    features = np.stack([s.features for s in again.score([dataset.codes(i) for i in validation])])
    assert np.sort(bundle.novelty.distances(features)) == pytest.approx(known.distances, rel=1e-4)
    assert (
        f"at temperature {known.temperature:.2f}, fitted on {len(validation)} validation"
        in (run_folder / "model" / "README.md").read_text()
    )


def test_every_class_has_a_center_however_few_records_are_looked_at(run_folder, dataset, monkeypatch):
    monkeypatch.setattr("genomix.train.confidence._MOST_RECORDS", 4)
    bundle = load_bundle(run_folder)
    kinds = dataset.label_ids[dataset.indices("train")]
    for label in range(2):  # of one class all but two
        rare = replace_labels(dataset, np.where(np.cumsum(kinds == label) <= 2, kinds, 1 - label))
        again = with_confidence(bundle, rare, TRAINING, PredictSettings())
        assert len(again.novelty.centers) == 2
        assert len(again.confidence.distances) == 4


def replace_labels(dataset, training):
    """The same dataset in which the training records have other classes."""
    other = copy(dataset)
    other.records = dataset.records.copy()
    other.records.loc[dataset.indices("train"), "label"] = np.array(dataset.classes)[training]
    other.__dict__.pop("label_ids", None)
    return other


def test_predict_and_evaluate_report_calibrated_probabilities(run_folder, dataset):
    """At temperature 1 the validation loss is higher."""
    bundle = load_bundle(run_folder)
    metrics = evaluate(bundle, dataset, split="validation", baselines=False)
    raw = evaluate(replace(bundle, confidence=None), dataset, split="validation", baselines=False, checks=False)
    assert bundle.confidence.temperature != 1
    assert metrics["temperature"] == bundle.confidence.temperature
    assert metrics["log_loss"] < raw["log_loss"]


def test_novel_records_are_far_and_held_out_ones_are_not(dataset, tmp_path, caplog):
    """The classes differ in GC: low-complexity sequence and very short records are of neither. Without the composition branch, which leaves the network
    nothing to learn here, and so no features that tell anything."""
    train(dataset, TOKENIZER, MODEL.model_copy(update={"composition": False}), TRAINING, tmp_path / "run")
    bundle = load_bundle(tmp_path / "run")
    rng = random.Random(4)

    def novelties(sequences, **settings):
        records = [SequenceRecord("r", "", sequence.encode(), "f", 1) for sequence in sequences]
        return np.array([p.novelty for _, p in predict(bundle, records, PredictSettings(**settings))])

    held_out = novelties([random_sequence(rng, rng.randint(150, 300), gc=gc) for gc in (0.3, 0.7) for _ in range(30)])
    assert (held_out > 0.9).mean() < 0.3
    assert not caplog.records
    odd = novelties(["AC" * 100, "A" * 200, "GGGC" * 50, "GTT" * 60])
    tiny = novelties([random_sequence(rng, 8, gc=0.5) for _ in range(20)])
    assert odd.min() > 0.8  # the small network sees 3-mers only
    assert np.median(tiny) > 0.9
    assert "records lie further from the training records than" in caplog.text


def test_the_distances_of_a_chunk_are_computed_at_once_and_are_those_of_its_records(run_folder, monkeypatch):
    bundle, rng = load_bundle(run_folder), random.Random(6)
    records = [SequenceRecord(str(n), "", random_sequence(rng, n, gc=0.5).encode(), "f", 1) for n in range(1, 40)]
    alone = [next(predict(bundle, [each], PredictSettings()))[1] for each in records]
    asked = []
    whole = Novelty.distances
    monkeypatch.setattr(Novelty, "distances", lambda self, features: asked.append(len(features)) or whole(self, features))
    together = [prediction for _, prediction in predict(bundle, records, PredictSettings())]
    assert asked == [sum(each.status != "too_short" for each in alone)]
    assert [each.id for each in together] == [each.id for each in records]
    assert [each.novelty for each in together] == [each.novelty for each in alone]
    assert {each.novelty is None for each in together if each.status == "too_short"} == {True}


def test_without_options_the_columns_are_as_ever(run_folder, fasta, capsys):
    assert main(["predict", str(run_folder), fasta]) == 0
    columns = "id length status label probability margin strand_agreement windows prob_poor prob_rich"
    assert list(rows_of(capsys.readouterr().out)[0]) == columns.split()


def test_error_and_novelty_add_their_columns_at_the_end(run_folder, fasta, capsys):
    assert main(["predict", str(run_folder), fasta, "--error", "0.2", "--max-novelty", "0.9"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert list(rows[0])[-3:] == ["prob_rich", "labels", "novelty"]
    for row in rows[:-1]:
        assert (row["status"] == "classified") == (row["labels"] in {"poor", "rich"} and float(row["novelty"]) <= 0.9)
        assert row["label"] in {"", row["labels"]}
    assert (rows[-1]["status"], rows[-1]["labels"], rows[-1]["novelty"]) == ("too_short", "", "")
    assert main(["predict", str(run_folder), fasta, "--error", "0.2", "--format", "jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["labels"] or [] for line in lines] == [[row["labels"]] if row["labels"] else [] for row in rows]


def test_a_prior_on_the_command_line(run_folder, fasta, capsys):
    found = []
    for prior in ("poor=0.5,rich=0.5", "poor=0.9,rich=0.1"):
        assert main(["predict", str(run_folder), fasta, "--prior", prior]) == 0
        found.append([float(row["prob_poor"]) for row in rows_of(capsys.readouterr().out)[:-1]])
    assert main(["predict", str(run_folder), fasta]) == 0
    plain = np.array([float(row["prob_poor"]) for row in rows_of(capsys.readouterr().out)[:-1]])
    assert found[0] == pytest.approx(plain, abs=2e-6)
    assert found[1] == pytest.approx(plain * 0.9 / (plain * 0.9 + (1 - plain) * 0.1), abs=1e-5)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--error", "0.001"], 2, "needs 999 validation records"),
        (["--error", "0"], 78, "predict.error"),
        (["--max-novelty", "2"], 78, "predict.max_novelty"),
        (["--max-novelty", "0.999"], 2, "validation records nothing is above 0.9"),
        (["--prior", "poor=1"], 2, "no value for class 'rich'"),
    ],
)
def test_what_cannot_be_promised_is_one_line(words, code, said, run_folder, fasta, capsys):
    assert main(["predict", str(run_folder), fasta, *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) <= 2


def test_a_set_is_a_line_of_csv_in_its_column(tmp_path):
    names = ("E. coli, K-12", 'say "a"', "plain")
    record = SequenceRecord("r", "", b"ACGT", "f", 1)
    answer = Prediction("r", 4, "unclassified", probabilities=(0.4, 0.3, 0.3), labels=names, novelty=0.5)
    write_predictions([(record, answer)], names, str(tmp_path / "p.tsv"), extras=("labels",))
    (row,) = rows_of((tmp_path / "p.tsv").read_text())
    assert next(csv.reader([row["labels"]])) == list(names)


# ---- models without calibration ----------------------------------------------------------------------------------------------------------------------


def test_a_model_without_a_validation_split_says_so(tmp_path, fasta, capsys):
    dataset = small_dataset(tmp_path / "d", records=20)
    dataset.records.loc[dataset.records["split"] == "validation", "split"] = "train"
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 3}), tmp_path / "run")
    bundle = load_bundle(tmp_path / "run")
    assert (bundle.confidence.temperature, bundle.confidence.records, bundle.novelty) == (None, 0, None)
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "no validation split" in card
    assert "there is `--threshold`. Do not" in card
    for option in ("--error", "--max-novelty"):
        assert main(["predict", str(tmp_path / "run"), fasta, option, "0.1"]) == 2
        assert "trained without a validation split" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "run"), fasta, "--prior", "poor=0.9,rich=0.1"]) == 0


def test_a_model_of_an_earlier_genomix_still_predicts(run_folder, tmp_path, fasta, capsys):
    shutil.copytree(run_folder / "model", tmp_path / "old")
    description = describe_folder(tmp_path / "old")
    for name in ("confidence", "novelty"):
        del description[name]
    (tmp_path / "old" / "novelty.safetensors").unlink()
    (tmp_path / "old" / "model.json").write_text(json.dumps(description | {"checksum": bundle_module._checksum(description)}))
    assert main(["predict", str(tmp_path / "old"), fasta]) == 0
    assert load_bundle(tmp_path / "old").confidence is None
    capsys.readouterr()
    for words in (["--error", "0.2"], ["--max-novelty", "0.9"], ["--prior", "poor=0.5,rich=0.5"]):
        assert main(["predict", str(tmp_path / "old"), fasta, *words]) == 2
        assert "earlier genomix" in capsys.readouterr().err


def test_changed_novelty_statistics_are_refused(run_folder, tmp_path, fasta, capsys):
    shutil.copytree(run_folder / "model", tmp_path / "m")
    (tmp_path / "m" / "novelty.safetensors").write_bytes(b"x")
    assert main(["predict", str(tmp_path / "m"), fasta]) == 65
    assert "novelty statistics are not those" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((99, 49), "0.0068 and above over all classes, 0.02 and above for each class"),
        ((99, 0), "nothing for each class: 1 of them has no validation record"),
    ],
)
def test_the_card_says_what_can_be_promised(counts, said):
    scores = [[0.5] * count for count in counts]
    assert said in _confidence({"confidence": {"records": sum(counts), "temperature": 1.0, "scores": scores}})


def test_scores_on_another_dataset_than_the_model_s_own_are_said_to_be(run_folder, dataset, tmp_path, caplog):
    bundle = load_bundle(run_folder)
    assert "other_dataset" not in evaluate(bundle, dataset, baselines=False, checks=False)
    assert not caplog.records
    other = small_dataset(tmp_path / "other", seed=5)
    assert evaluate(bundle, other, baselines=False, checks=False)["other_dataset"]
    assert "it may have seen these records, and similarity is of the training split of this one" in caplog.text
    assert "the model reads records as" not in caplog.text


@pytest.mark.parametrize(
    ("split", "said"), [("train", "these records trained the model"), ("validation", "these records chose the model's weights")]
)
def test_records_that_the_model_was_made_from_are_said_to_be(run_folder, dataset, split, said, tmp_path, capsys):
    words = ["evaluate", str(run_folder), str(dataset.folder), "--split", split, "-o", str(tmp_path / "e")]
    assert main(words) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith(f"warning: {said}")
    assert not [line for line in others if said in line or (split == "train" and ("Memory would do" in line or "certificate" in line))]
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["caveats"] == [first.removeprefix("warning: ")]
    assert (metrics["length_certificate"] is None) == (split == "train")
    page = render(made_inputs(metrics=made_metrics() | {"caveats": metrics["caveats"]}))
    assert "Records that the model may know" in page
    assert "Records that the model may know" not in render(made_inputs())


def test_of_another_dataset_no_more_is_said_than_it_has(run_folder, tmp_path, caplog):
    bundle, other = load_bundle(run_folder), small_dataset(tmp_path / "other", seed=5)

    def said(split, **options):
        caplog.clear()
        [sentence] = evaluate(bundle, other, split=split, checks=False, **options)["caveats"]
        assert caplog.messages == [sentence]
        return sentence.partition("these records")[2]

    assert said("test") == ", and baselines and similarity are of the training split of this one"
    assert said("test", baselines=False) == ", and similarity is of the training split of this one"
    assert said("train") == ", and baselines were fitted on them"
    assert said("train", baselines=False) == ""
    other.__dict__["records"] = other.records.assign(split="test")
    assert said("test") == ""


def test_records_that_the_model_takes_for_another_kind_of_molecule_are_a_warning(run_folder, dataset, caplog):
    bundle = replace(load_bundle(run_folder), circular=True)
    evaluate(bundle, dataset, baselines=False, checks=False)
    assert "the model reads records as rings, and the dataset's are lines: they are read as rings" in caplog.text


def test_the_report_draws_risk_over_coverage_and_shows_the_sets():
    labels, probabilities = drawn(400)
    confidence = Confidence(balance=(1 / 3,) * 3, records=400, temperature=1.25, scores=class_scores(labels, probabilities))
    page = render(made_inputs(metrics=made_metrics() | confidence_figures(confidence, labels, probabilities)))
    assert "temperature 1.25, fitted on 400 validation records" in page
    assert "Error over coverage: " in page
    assert page.count(">--error 0.") >= 3
    assert "sets without the true label" in page
    seen = set_figures(labels, probabilities, label_thresholds(confidence.scores, 0.05))["observed_error"]
    assert (
        f"once in 20 records, on records like those of the validation split (on this test split {seen:.1%} of the sets missed it)" in page
    )


@pytest.mark.parametrize("records", [0, 1, 19, 69, 100, 2_000, 12_345])
def test_the_lowest_error_that_the_card_names_can_be_promised_and_is_no_hundredth_too_high(records):
    error = lowest_error(records)
    assert records == 0 or fewest_records(error) <= records
    assert error <= 1 / (records + 1) * 1.1 + 1e-3
