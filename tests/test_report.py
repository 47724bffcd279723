"""The report: what it says of good, open and bad results, that it escapes whatever class names hold, and that it needs nothing but itself."""

import html
import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genomix.audit import audit_lines, find_shortcuts
from genomix.data.label_text import listed
from genomix.errors import OutputError
from genomix.metrics import accuracy_by_similarity, compare
from genomix.report.caveats import caveats, verdict
from genomix.report.classes import frequent_confusions
from genomix.report.content import training_curves
from genomix.report.figures import Curve, Estimate, curves_chart, estimates_chart, reliability_chart, thinned
from genomix.report.inputs import DataSummary, ReportInputs
from genomix.report.page import render, write_report
from genomix.report.similarity import similarity_chart
from genomix.report.svg import Axis, element, spanning, tick_text

CLASSES = ("Coleoptera", "Diptera", "Hemiptera")
VOID = {"meta", "br", "link", "img", "input", "hr"}


def probabilities(labels, classes, *, wrong=0, sure=0.8):
    """Right with a probability of `sure`, but for the first `wrong` records."""
    called = labels.copy()
    called[:wrong] = (called[:wrong] + 1) % classes
    table = np.full((len(labels), classes), (1 - sure) / (classes - 1))
    table[np.arange(len(labels)), called] = sure
    return table


def made_metrics(*, records=90, classes=CLASSES, wrong=3, baseline_wrong=30, **options):
    labels = np.arange(records) % len(classes)
    ours = probabilities(labels, len(classes), wrong=wrong)
    baselines = {
        "majority": np.full(ours.shape, 1 / len(classes)),
        "kmer6": probabilities(labels, len(classes), wrong=baseline_wrong),
    }
    return compare(labels, classes, ours, baselines, split="test", resamples=200, **options)


def made_history(steps=50):
    rows = []
    for step in range(1, steps + 1):
        rows.append({"event": "step", "step": step, "epoch": 0, "loss": 2 / step, "lr": 1e-3, "tokens_per_s": 1000})
        if step % 10 == 0:
            loss = abs(step - 30) / 100 + 0.1
            rows.append(
                {"event": "validation", "step": step, "epoch": 0, "loss": loss, "accuracy": 0.9, "macro_f1": 0.8, "best": step <= 30}
            )
    return rows


def made_data(**changes):
    counts = {name: {"train": 70, "validation": 10, "test": 1030} for name in CLASSES}
    summary = DataSummary(
        counts,
        (10_712, 15_493, 20_013),
        "cluster",
        4,
        clusters=871,
        largest_cluster=9,
        similarity=0.95,
        highest_similarity=0.927,
        rejected={"too_short": 3},
        sources=[("insects.fa.gz", "ab" * 32)],
    )
    return replace(summary, **changes)


def made_inputs(**changes):
    inputs = ReportInputs(
        run="runs/my insects",
        metrics=made_metrics(),
        history=made_history(),
        data=made_data(),
        settings='[train]\nlearning_rate = 0.003\nnote = "<&>"\n',
        provenance={
            "written": "2025-11-24T09:12:44+00:00",
            "command": ["genomix", "train", "my insects", "-o", "runs/my insects"],
            "versions": {"torch": "2.13.0"},
            "training": {"steps": 50, "best_step": 30, "validation_loss": None},
        },
        model={"parameters": 1_215_303},
    )
    return replace(inputs, **changes)


class Page(HTMLParser):
    """The text of a page, the tags it opens, and whether every tag is closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words, self.attributes = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


class TestPage:
    def test_holds_the_numbers(self):
        metrics = made_metrics()
        text = Page(render(made_inputs(metrics=metrics))).text
        assert f"{metrics['accuracy']:.3f}" in text
        low, high = metrics["intervals"]["macro_f1"]
        assert f"{low:.3f} to {high:.3f}" in text
        assert f"+{metrics['gain']['difference']:.3f}" in text
        assert "over the best baseline, k-mer 6 logistic regression" in text
        assert "3,330" in text  # records of all classes and splits
        assert "1,215,303" in text
        assert "the most similar pair of records on two sides of the split is 92.7% alike" in text
        assert "torch 2.13.0" in text
        assert "learning_rate = 0.003" in text

    def test_the_gain_comes_before_all_other_figures(self):
        text = Page(render(made_inputs())).text
        assert text.index("gain in macro-F1") < text.index("accuracy")

    def test_every_cell_of_the_confusion_matrix_is_there(self):
        metrics = made_metrics(wrong=7)
        page = render(made_inputs(metrics=metrics))
        table = page[page.index('<table class="matrix">') :]
        cells = [cell.split("</td>")[0].split(">")[1] for cell in table[: table.index("</table>")].split("<td")[1:]]
        counts = {(cell["true"], cell["predicted"]): cell["records"] for cell in metrics["confusion"]}
        assert [int(cell) for cell in cells] == [counts.get((true, called), 0) for true in CLASSES for called in CLASSES]

    def test_gives_the_next_command_as_a_shell_reads_it(self):
        assert "genomix predict 'runs/my insects/model' new.fa -o predictions.tsv" in Page(render(made_inputs())).text

    def test_needs_nothing_but_itself(self):
        page = Page(render(made_inputs()))
        assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "embed"}
        sources = [value for name, value in page.attributes if name in {"src", "href", "srcset", "data"}]
        assert all(value.startswith("#") for value in sources)
        assert not [name for name, _ in page.attributes if name.startswith("on")]
        assert "url(" not in render(made_inputs())
        assert "@import" not in render(made_inputs())

    def test_links_lead_somewhere(self):
        page = Page(render(made_inputs()))
        names = {value for name, value in page.attributes if name == "id"}
        assert {value[1:] for name, value in page.attributes if name == "href"} == names

    def test_class_names_hold_any_text(self):
        names = ("<script>alert(1)</script>", "a \"quoted\" & 'odd' name", "{{ 7 * 7 }}")
        metrics = made_metrics(classes=names)
        data = made_data(counts={name: {"train": 1} for name in names}, rejected={"<b>": 1}, sources=[("<i>.fa", "00")])
        page = render(made_inputs(metrics=metrics, data=data, run='"><script>'))
        assert "<script" not in page
        text = Page(page).text
        assert all(name in text for name in names)

    @settings(max_examples=30, deadline=None)
    @given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(str.strip))
    def test_no_class_name_breaks_the_page(self, name):
        cells = [{"true": name, "predicted": "b", "records": 3}]
        page = render(made_inputs(metrics=ANY_NAMES | {"classes": [name, "b"], "confusion": cells}))
        Page(page)
        assert html.escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page

    @pytest.mark.parametrize("missing", ["metrics", "history", "data", "provenance", "model", "settings"])
    def test_parts_may_be_missing(self, missing):
        empty = {"metrics": None, "history": [], "data": None, "provenance": {}, "model": {}, "settings": ""}
        assert Page(render(made_inputs(**{missing: empty[missing]}))).text

    def test_without_a_test_split_it_says_so_and_shows_no_figure(self):
        text = Page(render(made_inputs(metrics=None))).text
        assert "No test split" in text
        assert "macro-F1 over" not in text

    def test_one_test_record_of_one_class(self):
        metrics = compare(
            np.array([0]), CLASSES, np.array([[0.7, 0.2, 0.1]]), {"majority": np.full((1, 3), 1 / 3)}, split="test", resamples=10
        )
        text = Page(render(made_inputs(metrics=metrics))).text
        assert "no interval" in text
        assert "Classes that were not judged" in text
        assert "1 test record of 1 of 3 classes; no figure has an interval, as too few records are unrelated." in text
        assert "below each figure" not in text
        assert "bars are" not in text

    def test_classes_without_test_records_are_no_classes_of_these(self):
        labels = np.arange(60) % 2
        metrics = compare(labels, CLASSES, probabilities(labels, 3, wrong=3), {}, split="test", resamples=20)
        metrics["intervals"]["ece"] = None
        text = Page(render(made_inputs(metrics=metrics))).text
        assert "60 test records of 2 of 3 classes; below each figure its 95% bootstrap interval (20 resamples of 60 records)." in text
        assert "(20 resamples of 60 records), none for calibration error." in text
        assert "90 test records of 3 classes; below" in Page(render(made_inputs())).text

    def test_where_nothing_is_shared_no_pair_is_called_the_most_similar(self):
        text = Page(render(made_inputs(data=made_data(highest_similarity=0.0)))).text
        assert "no two records on two sides of the split share a sketched 16-mer" in text
        assert "0.0% alike" not in text

    @pytest.mark.parametrize(
        ("tested", "said"), [(3, "Chance is 0.333."), (2, "reaches 0.500 at most, as 2 classes have test records, and 0.333 where")]
    )
    def test_chance_is_that_of_the_classes_that_were_tested(self, tested, said):
        labels = np.arange(60) % tested
        ours = probabilities(labels, 3)
        baselines = {"length": ours, "gc": ours, "nearest": ours}
        metrics = compare(labels, CLASSES, ours, baselines, split="test", resamples=20)
        metrics["audit"] = find_shortcuts(labels, CLASSES, baselines, metrics, groups=None, seed=0)
        assert said in Page(render(made_inputs(metrics=metrics))).text
        assert ("by chance at most 0.500, network" in metrics["audit"]["findings"][0]["text"]) == (tested == 2)

    def test_one_class_is_asked_for_no_shortcut(self):
        labels, ours = np.zeros(20, dtype=int), np.tile([0.8, 0.1, 0.1], (20, 1))
        metrics = compare(labels, CLASSES, ours, {"length": ours, "gc": ours}, split="test", resamples=20)
        metrics["audit"] = find_shortcuts(labels, CLASSES, {"length": ours, "gc": ours}, metrics, groups=None, seed=0)
        text = Page(render(made_inputs(metrics=metrics))).text
        assert "was not looked for: all records are of one class" in text
        assert "Chance is" not in text
        assert [*audit_lines(metrics)] == ["shortcuts were not looked for: all records are of one class, so there is nothing to tell apart"]

    def test_many_classes_give_a_list_of_confusions(self):
        names = tuple(f"genus {number}" for number in range(30))
        metrics = made_metrics(records=300, classes=names, wrong=40, baseline_wrong=90)
        page = render(made_inputs(metrics=metrics))
        assert 'class="matrix"' not in page
        assert "most frequent confusions" in page
        errors = frequent_confusions(metrics)
        assert errors[0] == {"true": "genus 0", "predicted": "genus 1", "count": 2, "share": "20%"}
        assert [error["count"] for error in errors] == sorted((error["count"] for error in errors), reverse=True)

    def test_many_classes_without_a_confusion_are_said_to_have_none(self):
        metrics = made_metrics(records=60, classes=tuple(f"genus {number}" for number in range(30)), wrong=0)
        text = Page(render(made_inputs(metrics=metrics))).text
        assert "No record was taken for another class." in text
        assert "most frequent confusions" not in text

    def test_notes_on_the_split_stand_beside_its_method(self):
        note = "the split column names no validation records: they were taken from train"
        text = Page(render(made_inputs(data=made_data(split_method="column", notes=[note])))).text
        assert f"as the label table gives it; {note}" in text
        assert "stay on one side (seed 4)" in Page(render(made_inputs())).text

    def test_is_written_into_the_folder(self, tmp_path):
        path = write_report(tmp_path, made_inputs())
        assert path == tmp_path / "report.html"
        assert path.read_text(encoding="utf-8") == render(made_inputs())

    def test_a_folder_that_cannot_be_written_is_an_output_error(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError):
            write_report(tmp_path / "file", made_inputs())


def leaky_metrics():
    """Thirty of ninety records are near-duplicates."""
    metrics = made_metrics()
    labels = np.arange(90) % 3
    similarity = np.append(np.linspace(0.5, 0.94, 60), np.full(30, 0.99))
    pairs = [("<leak>", f"copy {number - 60}") for number in range(90)]
    found = accuracy_by_similarity(labels, probabilities(labels, 3, wrong=3), similarity, threshold=0.95, pairs=pairs)
    return metrics | {"by_similarity": found}


class TestSimilarity:
    def test_the_table_the_drawing_and_the_names(self):
        page = render(made_inputs(metrics=leaky_metrics()))
        text = Page(page).text
        assert "near-duplicates (0.95 or more) 30 1.000" in text
        assert "The 10 nearest of 30 near-duplicates" in text
        assert "&lt;leak&gt;" in page
        drawing = similarity_chart(leaky_metrics()["by_similarity"])
        heights = numbers(drawing, "circle", "cy")
        assert len(heights) == 4
        assert heights[-1] < heights[0]  # SVG counts downwards: the near-duplicates are more often right

    def test_links_lead_to_it(self):
        page = Page(render(made_inputs(metrics=leaky_metrics())))
        names = {value for name, value in page.attributes if name == "id"}
        assert {value[1:] for name, value in page.attributes if name == "href"} == names

    def test_where_it_is_not_available(self):
        metrics = made_metrics() | {"by_similarity": {"unavailable": "the dataset has <none>"}}
        assert "Not available: the dataset has <none>." in Page(render(made_inputs(metrics=metrics))).text
        assert "Near-duplicates of training records" not in titles(made_inputs(metrics=metrics))


ANY_NAMES = made_metrics(classes=("a", "b"))


def titles(inputs):
    return {caveat.title: caveat for caveat in caveats(inputs)}


class TestCaveats:
    def test_a_good_run_has_no_warning(self):
        found = caveats(made_inputs(metrics=made_metrics(records=300, baseline_wrong=120)))
        assert not [caveat for caveat in found if caveat.kind == "warning"]

    @pytest.mark.parametrize(
        ("wrong", "baseline_wrong", "kind", "warning"),
        [(3, 30, "good", None), (10, 10, "open", "Gain not shown"), (30, 3, "bad", "Below a baseline")],
    )
    def test_the_gain_decides_the_verdict(self, wrong, baseline_wrong, kind, warning):
        metrics = made_metrics(wrong=wrong, baseline_wrong=baseline_wrong)
        assert verdict(metrics)[0] == kind
        found = titles(made_inputs(metrics=metrics))
        assert {"Gain not shown", "Below a baseline"} & set(found) == ({warning} if warning else set())
        assert f'<div class="gain {kind}">' in render(made_inputs(metrics=metrics))

    def test_no_baseline_is_a_warning(self):
        labels = np.arange(60) % 3
        metrics = compare(labels, CLASSES, probabilities(labels, 3, wrong=2), {}, split="test", resamples=20)
        assert titles(made_inputs(metrics=metrics))["No baseline"].kind == "warning"
        assert "Nothing to compare" in Page(render(made_inputs(metrics=metrics))).text

    def test_few_independent_records_are_a_warning_however_many_records(self):
        groups = np.array([f"genus {number % 12}" for number in range(90)])
        found = titles(made_inputs(metrics=made_metrics(groups=groups)))
        assert "12 sets of related records" in found["Small test split"].text
        assert "Small test split" not in titles(made_inputs())

    def test_records_without_relatives_are_no_sets(self):
        labels = np.arange(27) % 3
        groups = np.array([f"genus {number}" for number in range(27)])
        metrics = compare(labels, CLASSES, probabilities(labels, 3, wrong=2), {}, split="test", resamples=20, groups=groups)
        assert "It holds 27 records," in titles(made_inputs(metrics=metrics))["Small test split"].text
        assert "resamples of 27 records)" in Page(render(made_inputs(metrics=metrics))).text

    def test_few_groups_show_no_gain_however_clear_it_looks(self):
        groups = np.array([f"genus {number % 3}" for number in range(90)])
        metrics = made_metrics(wrong=0, baseline_wrong=60, groups=groups)
        assert verdict(metrics)[0] == "open"
        assert "too few unrelated records" in titles(made_inputs(metrics=metrics))["Gain not shown"].text

    @pytest.mark.parametrize(
        ("records", "skewed", "off"), [(30, False, False), (30, True, True), (3_000, False, False), (3_000, True, True)]
    )
    def test_probabilities_are_called_off_where_chance_does_not_explain_it(self, records, skewed, off):
        random = np.random.default_rng(1)
        chances = random.uniform(0.5, 1, records)
        calls = random.integers(2, size=records)
        labels = np.where(random.random(records) < (chances - 0.5 if skewed else chances), calls, 1 - calls)
        answers = np.where(np.eye(2)[calls] == 1, chances[:, None], 1 - chances[:, None])
        metrics = compare(labels, ("a", "b"), answers, {}, split="test", resamples=20)
        assert metrics["ece"] > 0.1 or records > 30
        assert ("Probabilities are off" in titles(made_inputs(metrics=metrics))) == off

    def test_classes_that_are_one_family_are_named_and_their_records_are_no_independent_ones(self):
        metrics = made_metrics(groups=np.array([f"record {number}" for number in range(90)]))
        metrics["bootstrap"] |= {"families": 31, "divided": ["Diptera"]}
        found = titles(made_inputs(metrics=metrics))
        assert "31 sets of related records" in found["Small test split"].text
        assert "All test records of Diptera are related" in found["Classes of one family"].text
        assert "but those of Diptera apart, each of them being one family" in Page(render(made_inputs(metrics=metrics))).text

    def test_scarce_and_absent_classes_are_named(self):
        labels = np.array([0] * 60 + [1] * 9)
        metrics = compare(labels, CLASSES, probabilities(labels, 3, wrong=3), {}, split="test", resamples=20)
        found = titles(made_inputs(metrics=metrics))
        assert "Diptera" in found["Classes with few test records"].text
        assert "Hemiptera" in found["Classes that were not judged"].text

    def test_no_error_gives_the_rule_of_three(self):
        assert "5.0%" in titles(made_inputs(metrics=made_metrics(records=60, wrong=0)))["No error was made"].text

    def test_probabilities_that_are_off(self):
        assert "Probabilities are off" in titles(made_inputs(metrics=made_metrics(records=300, wrong=0)))  # right always, sure of .8
        assert "Probabilities are off" not in titles(made_inputs(metrics=made_metrics(records=300, wrong=60)))

    def test_random_split_and_near_duplicates(self):
        assert titles(made_inputs(data=made_data(split_method="stratified")))["Random split"].kind == "warning"
        assert "Random split" not in titles(made_inputs())
        assert "99.1%" in titles(made_inputs(data=made_data(highest_similarity=0.991)))["Near-duplicates across the split"].text
        assert "Near-duplicates across the split" not in titles(made_inputs())

    def test_near_duplicates_are_named_and_said_once(self):
        found = titles(made_inputs(metrics=leaky_metrics(), data=made_data(highest_similarity=0.991)))
        assert "Near-duplicates across the split" not in found
        text = found["Near-duplicates of training records"].text
        assert "the closest is <leak>, 0.990 like copy 0" in text
        assert "accuracy is 1.000 on them, 0.950 on the other 60" in text

    def test_intervals_that_overlap_across_the_split(self):
        found = titles(made_inputs(data=made_data(overlapping={"validation": 3, "test": 1})))
        assert found["Overlapping intervals across the split"].text.startswith("1 test record is an interval that overlaps one of training")
        assert "Overlapping intervals across the split" not in titles(made_inputs(data=made_data(overlapping={"validation": 3, "test": 0})))

    def test_groups_that_the_split_divides(self):
        assert "names, 7 have records" in titles(made_inputs(data=made_data(divided_groups=7)))["Groups across the split"].text
        assert "Groups across the split" not in titles(made_inputs())

    def test_classes_that_could_not_be_held_out(self):
        found = titles(made_inputs(data=made_data(held_back=["class 'x' has no record in test: expected at least 1"])))
        assert "class 'x'" in found["Classes that could not be held out"].text

    def test_training_that_still_improved(self):
        assert "Training may have stopped early" not in titles(made_inputs())
        assert "Training may have stopped early" in titles(made_inputs(history=made_history(30)))
        hardly = made_history(30)
        for row in hardly:
            row["loss"] /= 10_000
        assert "Training may have stopped early" not in titles(made_inputs(history=hardly))

    def test_training_that_improved_nothing(self):
        history = made_history()
        for row in history:
            row["best"] = False
        start = {"event": "validation", "step": 0, "epoch": 0, "loss": 0.1, "accuracy": 0.9, "macro_f1": 0.8, "best": True}
        assert "Training improved nothing" in titles(made_inputs(history=[start, *history]))
        assert "Training improved nothing" not in titles(made_inputs(history=[start, *made_history()]))

    def test_one_answer_for_all_is_named_with_the_classes_that_are_never_given(self):
        metrics = made_metrics(records=90, wrong=0)
        labels = np.arange(90) % 3
        one = compare(labels, CLASSES, np.tile([0.8, 0.1, 0.1], (90, 1)), {}, split="test", resamples=20)
        assert "Classes that are never the answer" not in titles(made_inputs(metrics=metrics))
        assert (
            f"No test record was called {listed(CLASSES[1:])}" in titles(made_inputs(metrics=one))["Classes that are never the answer"].text
        )

    def test_a_network_and_a_baseline_that_are_right_on_the_same_records(self):
        found = titles(made_inputs(metrics=made_metrics(wrong=4, baseline_wrong=4)))["Gain not shown"].text
        assert found.endswith("are right on the same records: these can't tell which is better.")
        assert (
            "More test records would narrow it"
            in titles(made_inputs(metrics=made_metrics(wrong=10, baseline_wrong=12)))["Gain not shown"].text
        )

    def test_a_split_too_small_for_intervals_is_not_said_to_have_some(self):
        labels = np.arange(3)
        metrics = compare(labels, CLASSES, probabilities(labels, 3, wrong=1), {}, split="test", resamples=20)
        assert (
            titles(made_inputs(metrics=metrics))["Small test split"].text
            == "It holds 3 records, too few for intervals: read the figures as examples."
        )
        assert "No validation split" not in titles(made_inputs(history=[]))
        assert "No validation split" in titles(made_inputs(history=[row for row in made_history() if row["event"] == "step"]))

    def test_warnings_come_first(self):
        kinds = [caveat.kind for caveat in caveats(made_inputs(metrics=made_metrics(wrong=0, baseline_wrong=0, records=24), data=None))]
        assert kinds == sorted(kinds, key=["warning", "note"].index)
        assert set(kinds) == {"warning", "note"}


def numbers(drawing, tag, attribute):
    return [float(each.get(attribute)) for each in ET.fromstring(drawing).iter(f"{{http://www.w3.org/2000/svg}}{tag}")]


class TestFigures:
    def test_curves_are_where_their_values_are(self):
        drawing = curves_chart(
            [Curve("a", [(0, 0.0), (50, 0.5), (100, 1.0)], "train")], x_title="step", y_title="y", description="d", top=1.0
        )
        dots = list(zip(numbers(drawing, "circle", "cx"), numbers(drawing, "circle", "cy"), strict=True))
        (left, bottom), middle, (right, top) = dots
        assert middle == pytest.approx(((left + right) / 2, (bottom + top) / 2), abs=0.1)
        assert right > left
        assert bottom > top  # SVG counts downwards

    def test_the_kept_weights_are_marked_where_they_were_kept_and_not_at_a_lucky_loss(self):
        history = made_history()
        next(row for row in history if row["event"] == "validation" and row["step"] == 50)["loss"] = 0.05
        loss, scores = training_curves(history)
        marks = [
            float(line.get("x1"))
            for line in ET.fromstring(loss.drawing).iter("{http://www.w3.org/2000/svg}line")
            if line.get("class") == "mark"
        ]
        ends = [point for point in Axis(0, 50, 52, 466).ticks() if point == 30]
        assert marks == [pytest.approx(Axis(0, 50, 52, 466).at(ends[0]), abs=0.1)]
        assert "accuracy" in scores.drawing

    def test_long_curves_are_thinned_to_means(self):
        points = [(float(step), float(step % 2)) for step in range(10_000)]
        few = thinned(points)
        assert len(few) <= 240
        assert {round(y, 1) for _, y in few} == {0.5}
        assert thinned(points[:10]) == points[:10]
        assert thinned([]) == []

    def test_an_interval_spans_its_ends(self):
        drawing = estimates_chart([Estimate("network", 0.9, (0.8, 1.0), ours=True)], x_title="x", description="d")
        bar = next(line for line in ET.fromstring(drawing).iter("{http://www.w3.org/2000/svg}line") if line.get("class") == "line train")
        low, high, dot = float(bar.get("x1")), float(bar.get("x2")), numbers(drawing, "circle", "cx")[0]
        assert dot == pytest.approx((low + high) / 2, abs=0.1)

    def test_empty_bins_are_not_drawn(self):
        rows = [
            {"low": 0, "high": 0.5, "records": 0, "probability": None, "accuracy": None},
            {"low": 0.5, "high": 1, "records": 4, "probability": 0.7, "accuracy": 0.5},
        ]
        assert len(numbers(reliability_chart(rows, description="d"), "circle", "cx")) == 1

    def test_no_steps_no_curves(self):
        assert training_curves([]) == []

    def test_text_is_escaped(self):
        assert element("text", "<b>&", class_='"x"') == '<text class="&#34;x&#34;">&lt;b&gt;&amp;</text>'


class TestAxes:
    @given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
    def test_ticks_are_round_few_and_inside(self, low, width):
        axis = Axis(low, low + width, 0, 100)
        ticks = axis.ticks()
        assert 1 <= len(ticks) <= 7
        assert all(low - width * 1e-6 <= tick <= low + width * (1 + 1e-6) for tick in ticks)

    @given(values=st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=5))
    def test_the_axis_holds_all_values(self, values):
        axis = spanning(values, 0, 100)
        rounding = 1e-8 * (axis.high - axis.low)
        assert axis.low <= min(values) + rounding
        assert axis.high >= max(values) - rounding
        assert axis.high > axis.low

    @pytest.mark.parametrize("values", [[1.0, 1.0], [0.0], [0.5, 0.5], [0.912301, 0.912302], [123_456.0, 123_457.0], [0.0, 5e-324], [-3.0]])
    def test_values_close_together_have_ticks_that_differ(self, values):
        axis = spanning(values, 0, 100)
        ticks = [tick_text(tick) for tick in axis.ticks()]
        assert len(ticks) == len(set(ticks)) > 1
        assert axis.low < min(values) < axis.high

    @pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
    def test_a_figure_that_ends_at_1_has_an_axis_that_does(self, value):
        axis = spanning([value, value], 0, 100, bounds=(0.0, 1.0))
        assert 0 <= axis.low <= value <= axis.high <= 1
        drawing = estimates_chart([Estimate("network", value, None, ours=True)], x_title="macro-F1", description="")
        assert all(0 <= float(text) <= 1 for text in ET.fromstring(drawing).itertext() if text[:1].isdigit())

    def test_positions_and_what_lies_outside(self):
        axis = Axis(0, 10, 200, 100)
        assert [axis.at(value) for value in (0, 5, 10, 99, -1)] == [200, 150, 100, 100, 200]

    @pytest.mark.parametrize(
        ("value", "text"), [(0.0, "0"), (0.25, "0.25"), (1200, "1,200"), (250_000, "250k"), (0.30000000000000004, "0.3")]
    )
    def test_tick_text(self, value, text):
        assert tick_text(value) == text

    def test_nothing_to_span(self):
        assert math.isfinite(spanning([], 0, 100).at(3))
