"""The figures against scikit-learn, their weighted forms against repeated records, and what the command says of them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from genomix.errors import DataError
from genomix.metrics import (
    FIGURES,
    bootstrap_intervals,
    compare,
    confusion,
    headline,
    paired_gain,
    per_class,
    reliability,
    summary_lines,
)
from genomix.metrics.bootstrap import effective_units, fewest_units, freedom_of_classes, interval
from genomix.metrics.calibration import error_by_chance
from genomix.metrics.figures import _calibration_error
from genomix.metrics.weighted import Judged


def made_up(seed, records, classes, *, skill=1.5, steps=None):
    """Labels and probabilities of a classifier with some skill; `steps` rounds its scores so that many are equal."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=records)
    scores = random.normal(size=(records, classes))
    scores[np.arange(records), labels] += skill
    if steps:
        scores = np.round(scores * steps) / steps
    probabilities = np.exp(scores)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_headline_is_scikit_learn_on_scores(classes):
    labels, probabilities = made_up(classes, 400, classes)
    predicted = probabilities.argmax(axis=1)
    figures = headline(labels, probabilities)
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert figures["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert figures["macro_f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert figures["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, predicted))
    assert figures["log_loss"] == pytest.approx(sk.log_loss(labels, probabilities))
    expected = sk.roc_auc_score(labels, probabilities[:, 1]) if classes == 2 else sk.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert figures["roc_auc"] == pytest.approx(expected)
    assert figures["records"] == 400


def test_average_precision_is_of_class_one_or_the_mean_over_classes():
    labels, probabilities = made_up(0, 300, 2)
    assert headline(labels, probabilities)["average_precision"] == pytest.approx(sk.average_precision_score(labels, probabilities[:, 1]))
    labels, probabilities = made_up(0, 300, 4)
    expected = sk.average_precision_score(np.eye(4)[labels], probabilities, average="macro")
    assert headline(labels, probabilities)["average_precision"] == pytest.approx(expected)


def test_auc_is_from_scores_not_from_hard_labels():
    """All three records are called class 0, yet the ranking is perfect: AUC 1, where hard labels would give 0.5."""
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    figures = headline(np.array([0, 0, 1]), probabilities)
    assert figures["roc_auc"] == 1.0
    assert figures["accuracy"] == pytest.approx(2 / 3)


def test_calibration_error_by_hand():
    """Two records at .9 of which one is right, two at .6 both right: (2 |.5 - .9| + 2 |1 - .6|) / 4."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 1, 0, 0])
    assert headline(labels, probabilities)["ece"] == pytest.approx(0.4)
    filled = [row for row in reliability(labels, probabilities) if row["records"]]
    assert [(row["records"], row["accuracy"], round(row["probability"], 6)) for row in filled] == [(2, 1.0, 0.6), (2, 0.5, 0.9)]


def test_a_bin_holds_its_upper_edge():
    rows = reliability(np.zeros(2, dtype=int), np.array([[1.0, 0.0], [0.6, 0.4]]))
    assert [index for index, row in enumerate(rows) if row["records"]] == [8, 14]  # 0.6 = 9/15 closes the ninth bin


def test_a_class_that_was_ruled_out_costs_a_finite_loss():
    figures = headline(np.array([1, 0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert figures["log_loss"] == pytest.approx(-np.log(1e-15) / 2)


class TestDegenerateSplits:
    def test_one_class_only(self):
        labels, probabilities = np.zeros(6, dtype=int), np.tile([0.7, 0.2, 0.1], (6, 1))
        figures = headline(labels, probabilities)
        assert figures["accuracy"] == figures["balanced_accuracy"] == figures["macro_f1"] == 1.0
        assert figures["mcc"] is None
        assert figures["roc_auc"] is None
        assert figures["average_precision"] is None
        intervals = bootstrap_intervals(labels, probabilities, resamples=20)
        assert intervals["roc_auc"] is None
        assert intervals["mcc"] is None
        assert intervals["accuracy"] == [1.0, 1.0]

    def test_resamples_of_one_class_say_nothing_of_a_correlation(self):
        labels = np.repeat([0, 1], [10, 3])
        assert bootstrap_intervals(labels, np.eye(2)[labels])["mcc"] == [1.0, 1.0]
        assert headline(labels, np.eye(2)[np.zeros(13, dtype=int)])["mcc"] == 0.0

    def test_a_class_without_records_is_left_out_of_the_means_but_predicting_it_is_an_error(self):
        labels = np.array([0, 0, 1, 1])
        probabilities = np.eye(3)[[0, 0, 1, 2]]
        figures = headline(labels, probabilities)
        assert figures["accuracy"] == 0.75
        assert figures["balanced_accuracy"] == 0.75
        assert figures["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
        assert figures["roc_auc"] == pytest.approx((1 + 0.75) / 2)  # classes 0 and 1 against the rest; class 2 has no positive

    def test_one_record_has_figures_but_no_interval(self):
        labels, probabilities = np.array([1]), np.array([[0.2, 0.8]])
        assert headline(labels, probabilities)["accuracy"] == 1.0
        assert set(bootstrap_intervals(labels, probabilities).values()) == {None}
        assert paired_gain(labels, probabilities, probabilities)["low"] is None

    def test_perfect(self):
        labels = np.arange(30) % 3
        figures = headline(labels, np.eye(3)[labels])
        assert {name: figures[name] for name in FIGURES} == pytest.approx(dict.fromkeys(FIGURES[:6], 1.0) | {"log_loss": 0.0, "ece": 0.0})

    def test_no_record_is_an_error_of_the_data(self):
        with pytest.raises(DataError, match="no labelled record"):
            headline(np.zeros(0, dtype=int), np.zeros((0, 2)))

    @pytest.mark.parametrize(
        ("labels", "probabilities"),
        [([0, 1], np.eye(3)), ([3, 0, 1], np.eye(3)), ([-1, 0, 1], np.eye(3)), ([0, 1], np.array([[np.nan, 1], [0, 1]]))],
        ids=["lengths", "label above", "label below", "not finite"],
    )
    def test_arrays_that_do_not_fit_are_refused(self, labels, probabilities):
        with pytest.raises(ValueError, match=r"labels|finite"):
            headline(np.array(labels), probabilities)


class TestWeights:
    @settings(max_examples=60, deadline=None)
    @given(
        seed=st.integers(0, 10_000),
        classes=st.integers(2, 5),
        records=st.integers(2, 25),
        steps=st.sampled_from([None, 1, 3]),
        data=st.data(),
    )
    def test_a_weight_is_a_record_repeated(self, seed, classes, records, steps, data):
        labels, probabilities = made_up(seed, records, classes, steps=steps)
        weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=records, max_size=records).filter(any)), dtype=float)
        fast = Judged(labels, probabilities).figures(weights[None])
        repeated = np.repeat(np.arange(records), weights.astype(int))
        slow = headline(labels[repeated], probabilities[repeated])
        for name in FIGURES:
            assert fast[name][0] == pytest.approx(np.nan if slow[name] is None else slow[name], abs=1e-12, nan_ok=True), name

    def test_many_resamples_at_once_are_those_one_by_one(self):
        labels, probabilities = made_up(3, 50, 3)
        weights = np.random.default_rng(0).integers(0, 4, size=(8, 50)).astype(float)
        together = Judged(labels, probabilities).figures(weights)
        for row in range(8):
            alone = Judged(labels, probabilities).figures(weights[row : row + 1])
            assert {name: alone[name][0] for name in FIGURES} == pytest.approx({name: together[name][row] for name in FIGURES})

    def test_ranks_of_many_records_are_rounded_without_a_trace(self, monkeypatch):
        labels, probabilities = made_up(4, 30_000, 3)
        weights = np.random.default_rng(0).integers(0, 3, size=(3, 30_000)).astype(float)
        monkeypatch.setattr("genomix.metrics.weighted._MOST_PAIRS", 0)
        exact = Judged(labels, probabilities).figures(weights)
        monkeypatch.setattr("genomix.metrics.weighted._EXACT_RANKS", 1_000)
        rounded = Judged(labels, probabilities).figures(weights)
        for name in ("roc_auc", "average_precision"):
            assert rounded[name] == pytest.approx(exact[name], abs=2e-5)
            assert not np.array_equal(rounded[name], exact[name])


class TestIntervals:
    def test_accuracy_interval_is_the_binomial_one(self):
        labels, probabilities = made_up(1, 1000, 3)
        low, high = bootstrap_intervals(labels, probabilities, resamples=2000, seed=1)["accuracy"]
        accuracy = headline(labels, probabilities)["accuracy"]
        half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 1000)
        assert (low, high) == pytest.approx((accuracy - half, accuracy + half), abs=0.004)

    def test_the_seed_decides(self):
        labels, probabilities = made_up(1, 60, 3)
        first, again, other = (bootstrap_intervals(labels, probabilities, resamples=100, seed=seed) for seed in (4, 4, 5))
        assert first == again
        assert first != other

    def test_the_memory_bound_changes_nothing(self, monkeypatch):
        labels, probabilities = made_up(1, 60, 3)
        whole = bootstrap_intervals(labels, probabilities, resamples=100)
        monkeypatch.setattr("genomix.metrics.bootstrap._WEIGHTS_AT_ONCE", 60 * 7)
        parts = bootstrap_intervals(labels, probabilities, resamples=100)
        assert parts.keys() == whole.keys()
        for name, bounds in whole.items():
            if bounds is not None:
                assert parts[name] == pytest.approx(bounds, rel=1e-12)  # a product of other sizes may add up in another order

    def test_copies_in_one_group_are_worth_one_record(self):
        """Ten copies of each record: drawn as records they feign certainty, drawn as groups they give the interval of the originals."""
        labels, probabilities = made_up(2, 80, 2)
        many, groups = np.repeat(labels, 10), np.repeat([f"{number:02}" for number in range(80)], 10)
        original = bootstrap_intervals(labels, probabilities, seed=3)["accuracy"]
        copies = np.repeat(probabilities, 10, axis=0)
        assert bootstrap_intervals(many, copies, groups=groups, seed=3)["accuracy"] == pytest.approx(original)
        low, high = bootstrap_intervals(many, copies, seed=3)["accuracy"]
        assert high - low < (original[1] - original[0]) / 2

    def test_records_with_an_empty_group_are_drawn_alone(self):
        labels, probabilities = made_up(2, 40, 2)
        alone = bootstrap_intervals(labels, probabilities, seed=3)
        assert bootstrap_intervals(labels, probabilities, groups=np.full(40, ""), seed=3) == alone

    @pytest.mark.parametrize(("count", "some"), [(1, False), (2, False), (5, False), (6, True)])
    def test_few_groups_have_no_interval(self, count, some):
        labels, probabilities = made_up(2, 60, 2)
        groups = (np.arange(60) % count).astype(str)
        assert (bootstrap_intervals(labels, probabilities, groups=groups)["accuracy"] is not None) == some
        assert (paired_gain(labels, probabilities, probabilities[:, ::-1], groups=groups)["low"] is not None) == some

    def test_no_interval_where_all_units_agree_by_chance_too_often(self):
        assert [fewest_units(confidence) for confidence in (0.5, 0.75, 0.9, 0.95, 0.99)] == [2, 3, 5, 6, 8]

    @pytest.mark.parametrize("units", [6, 8, 12, 30])
    def test_alike_classifiers_differ_no_more_often_than_the_interval_may_miss(self, units):
        """Of groups that are right as often with both: the plain percentiles miss 0 in up to 14 of 100 at 6 units."""
        random = np.random.default_rng(units)
        missed = 0
        for _ in range(1_000):
            difference = np.subtract(*random.binomial(30, random.beta(8, 2, size=(2, units)))) / 30
            drawn = random.multinomial(units, np.full(units, 1 / units), size=1_000) @ difference / units
            low, high = interval(drawn, units, 0.95)
            missed += low > 0 or high < 0
        assert missed < 95

    @pytest.mark.parametrize(
        ("sizes", "freedom"), [([10], 9), ([10, 10], 18), ([200, 3], 2.06), ([30] * 6 + [3], 5.07), ([30] * 6 + [1], 1.44), ([200, 2], 0)]
    )
    def test_a_rare_class_leaves_a_mean_over_classes_few_degrees_of_freedom(self, sizes, freedom):
        labels = np.repeat(np.arange(len(sizes)), sizes)
        assert freedom_of_classes(labels, None) == pytest.approx(freedom, rel=0.01)
        assert freedom_of_classes(np.repeat(labels, 2), np.repeat(np.arange(len(labels)), 2).astype(str)) == pytest.approx(
            freedom, rel=0.01
        )

    @pytest.mark.parametrize("rare", [3, 4])
    def test_figures_that_hang_on_a_rare_class_have_intervals_that_cover_the_truth(self, rare):
        """Both recalls are .8; by the number of all records the interval covered it in .71 and .63 of trials."""
        random, labels, covered = np.random.default_rng(rare), np.repeat([0, 1], [200, rare]), 0
        for _ in range(200):
            answers = np.eye(2)[np.where(random.random(len(labels)) < 0.8, labels, 1 - labels)]
            low, high = bootstrap_intervals(labels, answers, resamples=300)["balanced_accuracy"]
            covered += low <= 0.8 <= high
        assert covered / 200 > 0.85

    def test_a_class_of_two_records_beside_one_other_leaves_no_interval(self):
        labels = np.repeat([0, 1], [200, 2])
        found = bootstrap_intervals(labels, np.eye(2)[labels] * 0.9 + 0.05, resamples=50)
        assert {name for name, bounds in found.items() if bounds} == {"accuracy", "log_loss"}

    def test_uneven_groups_count_as_fewer(self):
        assert effective_units(40, None) == 40
        assert effective_units(40, np.repeat(["a", "b", "c", "d"], 10)) == pytest.approx(4)
        assert effective_units(129, np.array(["large"] * 100 + [""] * 29)) == pytest.approx(129**2 / (100**2 + 29))


class TestErrorByChance:
    @pytest.mark.parametrize(("records", "mean"), [(20, 0.19), (100, 0.09), (2_000, 0.02)])
    def test_it_is_what_true_probabilities_reach(self, records, mean):
        random = np.random.default_rng(records)
        probabilities = random.dirichlet([1, 1, 1], size=records)
        top, calls = probabilities.max(axis=1), probabilities.argmax(axis=1)
        found = error_by_chance(probabilities, confidence=0.95)
        assert found["mean"] == pytest.approx(mean, rel=0.3)
        right = random.random((200, records)) < top
        errors = [_calibration_error(reliability(np.where(row, calls, (calls + 1) % 3), probabilities)) for row in right]
        assert np.mean(errors) == pytest.approx(found["mean"], rel=0.1)
        assert 0.85 < np.mean(np.array(errors) <= found["high"]) <= 1

    def test_related_records_are_wrong_together(self):
        probabilities = np.tile([0.7, 0.3], (100, 1))
        alone, together = (error_by_chance(probabilities, groups=groups, confidence=0.95) for groups in (None, np.full(100, "x")))
        assert alone["high"] < 0.15
        assert together["high"] == pytest.approx(0.7)


class TestGain:
    def test_against_itself_is_nothing(self):
        labels, probabilities = made_up(1, 100, 3)
        gain = paired_gain(labels, probabilities, probabilities)
        assert (gain["difference"], gain["low"], gain["high"]) == (0.0, 0.0, 0.0)

    def test_is_the_difference_and_turns_its_sign(self):
        labels, better = made_up(1, 200, 3, skill=3.0)
        worse = better[:, [1, 2, 0]]
        gain, loss = paired_gain(labels, better, worse, metric="accuracy"), paired_gain(labels, worse, better, metric="accuracy")
        assert gain["difference"] == pytest.approx(headline(labels, better)["accuracy"] - headline(labels, worse)["accuracy"])
        assert 0 < gain["low"] < gain["difference"] < gain["high"]
        assert (loss["low"], loss["high"]) == pytest.approx((-gain["high"], -gain["low"]))

    def test_pairing_removes_what_both_share(self):
        """Two classifiers that differ on one record in 200: the interval of the difference is far narrower than that of either."""
        labels, probabilities = made_up(1, 200, 2)
        other = probabilities.copy()
        other[0] = other[0, ::-1]
        gain = paired_gain(labels, probabilities, other, metric="accuracy")
        low, high = bootstrap_intervals(labels, probabilities)["accuracy"]
        assert gain["high"] - gain["low"] < (high - low) / 4

    @pytest.mark.parametrize(("differing", "shown"), [(5, False), (6, True)])
    def test_a_gain_from_a_few_records_is_not_shown(self, differing, shown):
        """Five records that only one of two equal classifiers has right are all the same one's in 1 of 16 cases."""
        labels = np.repeat([0, 1], 100)
        other = np.eye(2)[labels]
        other[:differing] = other[:differing, ::-1]
        for metric in ("accuracy", "macro_f1"):
            gain = paired_gain(labels, np.eye(2)[labels], other, metric=metric)
            assert (gain["low"] > 0) == shown
            assert gain["low"] >= 0

    def test_a_figure_without_a_value_has_no_gain(self):
        gain = paired_gain(np.zeros(3, dtype=int), np.full((3, 2), 0.5), np.full((3, 2), 0.5), metric="roc_auc")
        assert gain == {"metric": "roc_auc", "difference": None, "low": None, "high": None, "confidence": 0.95}


def test_per_class_rows():
    labels = np.array([0, 0, 0, 1, 1])
    rows = per_class(labels, np.eye(4)[[0, 0, 1, 1, 3]], ("a", "b", "c", "d"))
    assert [(row["class"], row["precision"], row["recall"], row["support"], row["predicted"]) for row in rows] == [
        ("a", 1.0, pytest.approx(2 / 3), 3, 2),
        ("b", 0.5, 0.5, 2, 2),
        ("c", None, None, 0, 0),
        ("d", 0.0, None, 0, 1),
    ]
    assert [row["f1"] for row in rows] == [pytest.approx(0.8), 0.5, None, 0.0]
    assert [row["roc_auc"] for row in rows] == [
        pytest.approx(5 / 6),
        pytest.approx((0.5 * 2 / 3) + 0.5 * (2 / 3) * 0.5 + 0.25 / 3 * 1),
        None,
        None,
    ]


def test_confusion_is_scikit_learns():
    labels, probabilities = made_up(1, 200, 4)
    matrix = np.zeros((4, 4), dtype=int)
    for cell in confusion(labels, probabilities, tuple("abcd")):
        assert cell["records"] > 0
        matrix["abcd".index(cell["true"]), "abcd".index(cell["predicted"])] = cell["records"]
    assert matrix.tolist() == sk.confusion_matrix(labels, probabilities.argmax(axis=1)).tolist()


def test_confusion_has_a_row_a_cell_with_records():
    rows = confusion(np.array([0, 0, 1, 1]), np.eye(3)[[0, 2, 1, 1]], ("a", "b", "c"))
    assert [tuple(row.values()) for row in rows] == [("a", "a", 1), ("a", "c", 1), ("b", "b", 2)]


LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
CLASSES = ("Coleoptera", "Diptera", "Hemiptera")
NETWORK = 0.8 * np.eye(3)[[0, 0, 0, 1, 1, 1, 2, 1]] + 0.2 / 3
BASELINES = {"majority": np.full((8, 3), 1 / 3), "kmer6": 0.7 * np.eye(3)[[0, 0, 1, 1, 1, 1, 2, 2]] + 0.1}


def test_summary_lines():
    metrics = compare(LABELS, CLASSES, NETWORK, BASELINES, split="test", resamples=200, confidence=0.9)
    assert "\n".join(summary_lines(metrics)) == GOLDEN


GOLDEN = """\
gain over the best baseline (k-mer 6 logistic regression): macro-F1 -0.044 (0.841 against 0.886; 90% interval -0.476 to +0.533)
test split: 8 records, 3 classes; [90% bootstrap intervals over 8 records]
                   network                  majority  6-mers
accuracy             0.875  [0.625, 1.000]     0.375   0.875
balanced accuracy    0.833  [0.576, 1.000]     0.333   0.889
macro-F1             0.841  [0.470, 1.000]     0.182   0.886
MCC                  0.826  [0.487, 1.000]     0.000   0.830
ROC AUC              0.883  [0.715, 1.000]     0.500   0.911
average precision    0.792  [0.528, 1.000]     0.333   0.847
log loss (nats)      0.464  [0.143, 1.105]     1.099   0.483
calibration error    0.008   chance: 0.089     0.042   0.075"""


def test_a_loss_against_the_baseline_is_said_first():
    metrics = compare(LABELS, CLASSES, BASELINES["majority"], {"kmer6": NETWORK}, split="test", resamples=50)
    assert summary_lines(metrics)[0].startswith("gain over the best baseline (k-mer 6 logistic regression): macro-F1 -0.6")


def test_without_baselines_the_first_line_says_so():
    metrics = compare(LABELS, CLASSES, NETWORK, {}, split="validation", resamples=50)
    assert summary_lines(metrics)[0] == "gain over the best baseline: unknown, no baseline was fitted"


def test_metrics_are_strict_json_with_the_flat_keys():
    one_class = compare(np.zeros(4, dtype=int), CLASSES, NETWORK[:4], {"kmer6": BASELINES["kmer6"][:4]}, split="test", seed=7, resamples=20)
    read = json.loads(json.dumps(one_class, allow_nan=False))
    assert set(FIGURES) | {"records"} <= set(read)
    assert set(read["baselines"]["kmer6"]) == {*FIGURES, "records"}
    assert (read["split"], read["seed"], read["roc_auc"]) == ("test", 7, None)
    assert read["confusion"][0] == {"true": "Coleoptera", "predicted": "Coleoptera", "records": 3}
    assert read["ranks"] is None


def test_the_gain_is_over_the_best_baseline():
    gain = compare(LABELS, CLASSES, NETWORK, BASELINES, split="test", resamples=50)["gain"]
    assert (gain["baseline"], gain["metric"]) == ("kmer6", "macro_f1")
    assert gain["low"] <= gain["difference"] <= gain["high"]


def test_large_splits_are_resampled_less_and_say_so():
    labels, probabilities = made_up(0, 100_001, 2)
    assert compare(labels, ("a", "b"), probabilities, {}, split="test", resamples=3)["bootstrap"]["resamples"] == 3
    from genomix.metrics.comparison import _default_resamples

    assert [_default_resamples(count) for count in (1, 20_000, 40_000, 10**6)] == [1000, 1000, 500, 200]
