"""The audit: a planted shortcut is named and none is invented, order and length are measured, and lengths outside the certificate are warned of."""

import json
import random
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_data import MODEL, TOKENIZER, random_sequence, small_dataset, write_fasta
from torch import nn

from genomix.audit import audit_lines, checks, find_shortcuts
from genomix.audit.checks import BLOCKS, cropped, run_checks, sampled, shuffled
from genomix.baselines import baseline_probabilities, fit_baselines
from genomix.bundle import Bundle, load_bundle, new_model, save_bundle
from genomix.certificate import LengthWatch, certify
from genomix.cli.main import main
from genomix.data.cleaning import CleaningSettings
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.evaluate import evaluate
from genomix.metrics import compare, headline
from genomix.records import Prediction, SequenceRecord
from genomix.report.checks import check_rows, check_words, gain_rows, length_figure, trait_rows
from genomix.scorer import Scores
from genomix.tokenizers import build_tokenizer


def normal_lengths(rng, mean, count):
    return [round(rng.gauss(mean, 50)) for _ in range(count)]


def made_dataset(folder, lengths, *, gc=None):
    """Random sequences of one composition; class name -> the lengths of its records."""
    rng = random.Random(0)
    folder.mkdir(parents=True)
    sources = []
    for name, sizes in lengths.items():
        sequences = {f"{name}{number}": random_sequence(rng, size, gc=(gc or {}).get(name, 0.5)) for number, size in enumerate(sizes)}
        sources.append(f"{name}={write_fasta(folder / f'{name}.fa', sequences)}")
    settings = PreprocessSettings(split=SplitSettings(method="stratified"), cleaning=CleaningSettings(min_length=20))
    return preprocess(sources, settings, folder / "dataset")


def untrained(dataset):
    torch.manual_seed(0)
    return Bundle(new_model(MODEL, TOKENIZER, len(dataset.classes)), TOKENIZER, dataset.classes, "both", circular=dataset.circular)


class CountsStrong(nn.Module):
    """Answers with the second class where most k-mers begin with G or C."""

    def __init__(self, settings):
        super().__init__()
        self.settings, self.unused = settings, nn.Parameter(torch.zeros(1))
        tokenizer = build_tokenizer(TOKENIZER)
        self.strong = torch.tensor([number for number in range(tokenizer.unknown) if tokenizer.decode(number)[0] in "GC"])

    def forward(self, tokens, lengths, circular):  # noqa: ARG002 - as a classifier has them
        share = torch.isin(tokens, self.strong).sum(1) / lengths
        return torch.stack([torch.full_like(share, 5.0), 10 * share], 1)


def informed(dataset):
    """A model that tells the GC-poor class from the GC-rich one."""
    bundle = untrained(dataset)
    return replace(bundle, model=CountsStrong(bundle.model.settings))


def audited(dataset, *, network="kmer6"):
    """The audit of a network that answers as a baseline does."""
    indices = dataset.indices("test")
    labels = dataset.label_ids[indices]
    baselines = baseline_probabilities(dataset, "test", strand="both", seed=0)
    metrics = compare(labels, dataset.classes, baselines[network], baselines, split="test")
    return find_shortcuts(labels, dataset.classes, baselines, metrics, groups=None, seed=0)


def names(audit):
    return [finding["name"] for finding in audit["findings"]]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    rng = random.Random(1)
    lengths = {"short": normal_lengths(rng, 5000, 80), "long": normal_lengths(rng, 5250, 80)}
    return made_dataset(tmp_path_factory.mktemp("planted") / "data", lengths)


class TestShortcuts:
    def test_a_class_5_percent_longer_is_named(self, planted, tmp_path, capsys):
        save_bundle(untrained(planted), tmp_path / "model")
        command = ["evaluate", str(tmp_path / "model"), str(planted.folder), "-o", str(tmp_path / "evaluation"), "--no-checks"]
        assert main(command) == 0
        metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
        assert names(metrics["audit"]) == ["length"]
        [finding] = metrics["audit"]["findings"]
        assert (finding["kind"], finding["title"]) == ("warning", "Shortcut: length")
        assert metrics["baselines"]["length"]["balanced_accuracy"] > 0.95
        assert metrics["baselines"]["gc"]["balanced_accuracy"] < 0.7
        assert "warning: Shortcut: length: Length alone reaches a balanced accuracy of" in capsys.readouterr().err
        assert "checks" not in metrics

    def test_a_network_that_took_it_is_told_so(self, planted):
        assert names(audited(planted, network="length")) == ["length"]

    def test_one_longer_class_among_many_is_named(self, tmp_path):
        rng = random.Random(2)
        lengths = {name: normal_lengths(rng, 5250 if name == "c" else 5000, 40) for name in "abcdef"}
        audit = audited(made_dataset(tmp_path / "data", lengths))
        assert names(audit) == ["length"]
        assert [each["class"] for each in audit["traits"]["length"]["classes"]] == ["c"]
        assert audit["findings"][0]["kind"] == "warning"

    def test_a_class_of_middle_length_is_found_by_the_splines(self, tmp_path):
        """Longer and shorter records are of one class: a straight line in the length sees nothing."""
        rng = random.Random(3)
        outer = [round(rng.gauss(mean, 20)) for mean in (900, 1100) for _ in range(40)]
        audit = audited(made_dataset(tmp_path / "data", {"outer": outer, "middle": [round(rng.gauss(1000, 20)) for _ in range(80)]}))
        assert names(audit) == ["length"]
        assert audit["traits"]["length"]["balanced_accuracy"] > 0.9

    def test_composition_is_named(self, tmp_path):
        rng = random.Random(4)
        lengths = {"poor": normal_lengths(rng, 2000, 60), "rich": normal_lengths(rng, 2000, 60)}
        assert names(audited(made_dataset(tmp_path / "data", lengths, gc={"poor": 0.45, "rich": 0.55}))) == ["gc"]

    @pytest.mark.parametrize("seed", range(3))
    def test_where_nothing_is_planted_nothing_is_found(self, seed, tmp_path):
        rng = random.Random(10 + seed)
        audit = audited(made_dataset(tmp_path / "data", {name: normal_lengths(rng, 2000, 80) for name in "xy"}))
        assert audit["findings"] == []
        assert audit["traits"]["length"]["classes"] == audit["traits"]["gc"]["classes"] == []

    def test_a_trait_far_below_the_network_is_not_called_a_shortcut(self, tmp_path):
        """Lengths that overlap: well above chance, far from what composition tells here."""
        rng = random.Random(5)
        lengths = {"a": [round(rng.gauss(1000, 100)) for _ in range(80)], "b": [round(rng.gauss(1080, 100)) for _ in range(80)]}
        dataset = made_dataset(tmp_path / "data", lengths, gc={"a": 0.45, "b": 0.55})
        assert "length" not in names(audited(dataset))

    def test_a_split_of_copies_is_named(self, tmp_path):
        """Every record of a class is one random genome with 2 % substitutions: only the relative tells."""
        rng = random.Random(6)
        sequences, sources = {}, []
        for name in ("left", "right"):
            genome = [random_sequence(rng, 1500, gc=0.5) for _ in range(4)]
            sequences = {f"{name}{number}": mutated(rng, genome[number % 4], 0.02) for number in range(40)}
            sources.append(f"{name}={write_fasta(tmp_path / f'{name}.fa', sequences)}")
        dataset = preprocess(sources, PreprocessSettings(split=SplitSettings(method="stratified")), tmp_path / "dataset")
        [finding] = evaluate(untrained(dataset), dataset, checks=False)["audit"]["findings"]
        assert finding["title"] == "Memory would do"
        assert "and most of the test records are relatives of training records" in finding["text"]

    def test_a_marker_of_a_class_makes_no_relatives(self, tmp_path):
        """Random records that share a tenth of their bases with their class: the nearest record's label is right."""
        rng = random.Random(6)
        sources = []
        for name in ("left", "right"):
            marker = random_sequence(rng, 150, gc=0.5)
            sequences = {f"{name}{number}": random_sequence(rng, 1350, gc=0.5) + marker for number in range(40)}
            sources.append(f"{name}={write_fasta(tmp_path / f'{name}.fa', sequences)}")
        dataset = preprocess(sources, PreprocessSettings(split=SplitSettings(method="stratified")), tmp_path / "dataset")
        [finding] = evaluate(untrained(dataset), dataset, checks=False)["audit"]["findings"]
        assert finding["title"] == "Memory would do"
        assert "they are relatives, or carry a marker of the class" in finding["text"]

    def test_training_records_are_not_said_to_be_like_training_records(self, planted):
        labels = planted.label_ids[planted.indices("train")]
        baselines = baseline_probabilities(planted, "train", strand="both", seed=0)
        found = compare(labels, planted.classes, baselines["nearest"], baselines, split="train", resamples=50)
        assert found["baselines"]["nearest"]["accuracy"] == 1.0
        assert names(find_shortcuts(labels, planted.classes, baselines, found, groups=None, seed=0)) == ["length"]

    def test_without_baselines_there_is_no_audit(self, tmp_path):
        dataset = small_dataset(tmp_path)
        assert evaluate(untrained(dataset), dataset, baselines=False)["audit"] is None


def mutated(rng, sequence, part):
    return "".join(rng.choice("ACGT") if rng.random() < part * 4 / 3 else base for base in sequence)


class TestNearest:
    @pytest.fixture
    def relatives(self, tmp_path):
        """Two genomes, each a class; test records are mutated copies of training records, read from the other strand."""
        rng = random.Random(7)
        rows, sequences = ["id\tlabel\tsplit"], {}
        for name in ("left", "right"):
            for number in range(6):
                genome = random_sequence(rng, 600, gc=0.5)
                copy = mutated(rng, genome, 0.02).translate(str.maketrans("ACGT", "TGCA"))[::-1]
                for split, sequence in (("train", genome), ("test", copy), ("validation", random_sequence(rng, 600, gc=0.5))):
                    sequences[f"{name}{number}{split}"] = sequence
                    rows.append(f"{name}{number}{split}\t{name}\t{split}")
        (tmp_path / "labels.tsv").write_text("\n".join(rows) + "\n")
        settings = PreprocessSettings(labels={"table": str(tmp_path / "labels.tsv")}, split=SplitSettings(method="column"))
        return preprocess([str(write_fasta(tmp_path / "all.fa", sequences))], settings, tmp_path / "dataset")

    def test_mutated_copies_on_the_other_strand_are_found(self, relatives):
        fitted = fit_baselines(relatives, strand="both", seed=0)["nearest"]
        test = relatives.indices("test")
        answers = fitted.probabilities(relatives, test)
        assert (answers.argmax(axis=1) == relatives.label_ids[test]).all()
        assert answers.sum(axis=1) == pytest.approx(1)
        assert answers.max(axis=1) == pytest.approx(
            0.98 + 0.02 / 2, abs=0.01
        )  # the similarity goes to the label, the rest to the frequencies

    def test_strangers_get_the_class_frequencies(self, relatives):
        fitted = fit_baselines(relatives, strand="both", seed=0)["nearest"]
        answers = fitted.probabilities(relatives, relatives.indices("validation"))
        assert answers == pytest.approx(np.full((12, 2), 0.5))

    def test_a_training_record_is_its_own_nearest(self, relatives):
        train = relatives.indices("train")
        answers = fit_baselines(relatives, strand="both", seed=0)["nearest"].probabilities(relatives, train)
        assert answers == pytest.approx(np.eye(2)[relatives.label_ids[train]])


class Watching:
    """Stands in for a scorer: class 1 if the answer of `rule` for the base codes is true."""

    def __init__(self, rule):
        self.rule, self.circular, self.tokenizer, self.seen = rule, True, OfSix, []

    def linear(self):
        other = copy(self)
        other.circular = False
        return other

    def score(self, records):
        for codes in records:
            self.seen.append((len(codes), self.circular))
            answer = float(self.rule(codes))
            yield Scores(np.array([1 - answer, answer]), None, 1, np.empty(0))


class OfSix:
    k = 6


def halves(length, *, poor_first, rng):
    first, second = (random_sequence(rng, length // 2, gc=gc) for gc in ((0.2, 0.8) if poor_first else (0.8, 0.2)))
    return first + second


@pytest.fixture(scope="module")
def ordered(tmp_path_factory):
    """Two classes that differ in the order of their halves, 20 kb long; and a rule that reads it."""
    folder = tmp_path_factory.mktemp("ordered")
    rng = random.Random(8)
    sources = []
    for name, poor_first in (("gcfirst", False), ("poorfirst", True)):
        sequences = {f"{name}{number}": halves(20_000, poor_first=poor_first, rng=rng) for number in range(40)}
        sources.append(f"{name}={write_fasta(folder / f'{name}.fa', sequences)}")
    settings = PreprocessSettings(split=SplitSettings(method="stratified", fractions=(0.4, 0.2, 0.4)), circular=True)
    return preprocess(sources, settings, folder / "dataset")


def poor_first(codes):
    half = len(codes) // 2
    strong = (codes == 1) | (codes == 2)
    return strong[:half].sum() < strong[half:].sum()


def checked(dataset, rule, *, seed=0):
    scorer, indices = Watching(rule), dataset.indices("test")
    labels = dataset.label_ids[indices]
    answers = np.stack([scores.probabilities for scores in scorer.score(dataset.codes(index) for index in indices)])
    scorer.seen.clear()
    return scorer, run_checks(scorer, dataset, indices, labels, answers, groups=None, seed=seed)


class TestChecks:
    def test_order_is_lost_by_shuffling_and_said_to_matter(self, ordered):
        _, found = checked(ordered, poor_first)
        made = found["checks"]
        assert made["whole"]["accuracy"] == 1.0
        assert [row["block"] for row in made["shuffles"]] == [1000, 4000]
        assert all(row["accuracy"] < 0.9 and row["drop"]["low"] > 0 for row in made["shuffles"])
        assert made["skipped"][0]["check"] == "shuffle"
        assert made["skipped"][0]["size"] == 16_000

    def test_what_composition_tells_survives_shuffling(self, ordered):
        _, found = checked(ordered, lambda codes: ((codes == 1) | (codes == 2)).mean() > 0)
        assert [row["drop"]["difference"] for row in found["checks"]["shuffles"]] == [0, 0]

    def test_crops_are_linear_of_their_length_and_shuffles_stay_rings(self, ordered):
        scorer, found = checked(ordered, poor_first)
        test = len(ordered.indices("test"))
        assert scorer.seen == [(20_000, True)] * 2 * test + [(size, False) for size in (1000, 4000, 16_000) for _ in range(test)]
        assert [(row["length"], row["records"]) for row in found["checks"]["crops"]] == [(1000, test), (4000, test), (16_000, test)]
        assert [(each["check"], each["size"]) for each in found["checks"]["skipped"]] == [("shuffle", 16_000), ("crop", 64_000)]

    def test_the_certificate_follows_the_crops_that_hold(self, ordered):
        """Crops of 16 kb reach across the middle, so they still tell the order; shorter ones mostly don't."""
        _, found = checked(ordered, poor_first)
        accuracy = {row["length"]: row["accuracy"] for row in found["checks"]["crops"]}
        assert accuracy[16_000] == 1.0
        assert accuracy[4000] < 0.9
        assert found["length_certificate"] == {"shortest": 16_000, "longest": 20_000, "tolerance": 0.05}

    def test_the_seed_decides(self, ordered):
        first, again, other = (checked(ordered, poor_first, seed=seed)[1]["checks"] for seed in (0, 0, 1))
        assert first == again
        assert [row["accuracy"] for row in first["shuffles"]] != [row["accuracy"] for row in other["shuffles"]]

    def test_a_large_split_is_sampled_and_says_so(self, ordered, monkeypatch):
        monkeypatch.setattr(checks, "MOST_BASES", 15 * 20_000)
        scorer, found = checked(ordered, poor_first)
        assert (found["checks"]["records"], found["checks"]["of"]) == (15, len(ordered.indices("test")))
        assert len(scorer.seen) == 15 * 5
        assert "(15 of 32 records)" in "\n".join(audit_lines(found))

    def test_a_sample_is_bounded_but_never_tiny(self):
        assert len(sampled(np.full(2000, 1000), 0)) == 500
        assert len(sampled(np.full(2000, 100_000), 0)) == 80
        assert len(sampled(np.full(50, 2_000_000), 0)) == 10
        assert sampled(np.full(7, 2_000_000), 0).tolist() == list(range(7))

    @pytest.mark.parametrize(("length", "block"), [(10, 3), (12, 3), (5, 7), (1, 1)])
    def test_shuffling_keeps_the_blocks(self, length, block):
        codes = np.arange(length, dtype=np.uint8)
        found = shuffled(codes, np.random.default_rng(1), block=block)
        assert sorted(found) == list(range(length))
        starts = [int(base) for base in found if base % block == 0]
        pieces = [list(range(start, min(start + block, length))) for start in starts]
        assert [base for piece in pieces for base in piece] == found.tolist()

    def test_a_crop_is_a_stretch_of_the_record_anywhere_in_it(self):
        codes = np.arange(100, dtype=np.uint8)
        starts = set()
        for seed in range(200):
            part = cropped(codes, np.random.default_rng(seed), length=90)
            assert part.tolist() == list(range(part[0], part[0] + 90))
            starts.add(int(part[0]))
        assert starts == set(range(11))
        assert cropped(codes, np.random.default_rng(0), length=200).tolist() == codes.tolist()

    def test_short_records_are_checked_for_nothing_and_say_why(self, tmp_path):
        dataset = small_dataset(tmp_path)
        found = evaluate(informed(dataset), dataset, baselines=False)
        assert found["checks"]["shuffles"] == found["checks"]["crops"] == []
        assert len(found["checks"]["skipped"]) == len(BLOCKS) + 4
        assert (
            found["length_certificate"]["longest"]
            == dataset.lengths[np.concatenate([dataset.indices("train"), dataset.indices("test")])].max()
        )

    def test_records_that_trained_the_model_certify_no_length(self, tmp_path):
        dataset = small_dataset(tmp_path)
        bundle = informed(dataset)
        elsewhere = replace(bundle, provenance={"dataset": {"dataset_sha256": "another"}})
        found = [
            evaluate(model, dataset, split=split, baselines=False)["length_certificate"] is None
            for model, split in ((bundle, "train"), (bundle, "validation"), (elsewhere, "train"))
        ]
        assert found == [True, len(dataset.indices("validation")) < 10, False]

    def test_training_records_of_another_dataset_are_in_no_certificate(self, tmp_path):
        dataset = small_dataset(tmp_path)
        trained, tested = (dataset.lengths[dataset.indices(split)].max() for split in ("train", "test"))
        assert trained > tested
        elsewhere = replace(informed(dataset), provenance={"dataset": {"dataset_sha256": "another"}})
        found = [evaluate(bundle, dataset, baselines=False)["length_certificate"]["longest"] for bundle in (informed(dataset), elsewhere)]
        assert found == [trained, tested]

    def test_related_records_count_as_one_where_no_crop_changes_an_answer(self, ordered):
        indices = ordered.indices("test")
        labels = ordered.label_ids[indices]
        scorer = Watching(poor_first)
        answers = np.stack([scores.probabilities for scores in scorer.score(ordered.codes(index) for index in indices)])
        groups = np.array([f"family {number % 8}" for number in range(len(indices))])
        found = run_checks(scorer, ordered, indices, labels, answers, groups=groups, seed=0)
        assert [row["units"] for row in found["checks"]["crops"]] == [8, 8, 8]
        assert found["length_certificate"]["shortest"] == 20_000

    def test_answers_no_better_than_one_for_all_certify_no_length(self, tmp_path):
        dataset = small_dataset(tmp_path)
        found = evaluate(untrained(dataset), dataset, baselines=False)
        assert found["accuracy"] <= max(row["support"] for row in found["per_class"]) / found["records"]
        assert found["length_certificate"] is None

    @pytest.mark.parametrize("known", [9_999, None])
    def test_the_longest_record_that_trained_a_model_is_the_model_s_own(self, known, tmp_path):
        dataset = small_dataset(tmp_path)
        elsewhere = replace(informed(dataset), provenance={"dataset": {"dataset_sha256": "another", "longest_record": known}})
        found = evaluate(elsewhere, dataset, baselines=False)
        longest = known or dataset.lengths[dataset.indices("test")].max()
        assert found["length_certificate"]["longest"] == longest
        assert [*audit_lines(found)][-1].endswith(
            "the longest record trained or tested on" if known else "the longest record tested on (of those trained on no length is known)"
        )

    def test_a_class_of_one_group_is_one_family_and_named(self, tmp_path):
        dataset = small_dataset(tmp_path)
        assert evaluate(untrained(dataset), dataset, baselines=False, checks=False)["bootstrap"]["divided"] == []
        one, other = dataset.classes
        dataset.records.loc[dataset.records["label"] == one, "group"] = "a strain"
        found = evaluate(untrained(dataset), dataset, baselines=False, checks=False)["bootstrap"]
        assert found["divided"] == [one]
        records = dataset.records.iloc[dataset.indices("test")]
        assert found["families"] == 1 + records.loc[records["label"] == other, "cluster"].nunique()
        assert found["units"] == records["cluster"].nunique()


def certified(crops, tested, longest, wrong=(), chance=0.5):
    right = np.ones(len(tested), dtype=bool)
    right[list(wrong)] = False
    return certify(crops, tested, right, longest, chance=chance)


def crop(length, drop, *, units=40, high=None):
    return {"length": length, "units": units, "drop": {"difference": drop, "low": drop, "high": drop if high is None else high}}


class TestCertificate:
    def crops(self, *drops):
        return [crop(length, drop, high=0.09 if drop else None) for length, drop in zip((1000, 4000, 16_000), drops, strict=False)]

    @pytest.mark.parametrize(
        ("drops", "shortest"),
        [((0.0, 0.0, 0.0), 1000), ((0.3, 0.05, 0.0), 4000), ((0.0, 0.3, 0.0), 16_000), ((0.0, 0.0, 0.06), 30_000), ((), 30_000)],
    )
    def test_a_crop_counts_only_while_all_longer_ones_hold(self, drops, shortest):
        assert certified(self.crops(*drops), np.full(40, 30_000), 50_000) == {"shortest": shortest, "longest": 50_000, "tolerance": 0.05}

    def test_short_records_that_were_tested_whole_are_inside(self):
        assert certified([crop(50, 0.3)], np.arange(100, 300), 300)["shortest"] == 109

    def test_records_as_short_as_a_crop_that_does_not_hold_certify_nothing(self):
        tested = np.array([400] * 20 + [20_000] * 180)
        assert certified(self.crops(0.4, 0.2, 0.0), tested, 20_000)["shortest"] == 16_000
        assert certified(self.crops(0.4, 0.2, 0.2), tested, 20_000)["shortest"] == 20_000
        assert certified(self.crops(0.4, 0.2, 0.2), np.array([400] * 20 + [20_000] * 9), 20_000) is None

    def test_short_records_are_inside_where_enough_of_them_are_answered_as_well(self):
        crops, tested = self.crops(0.0), np.array([200] * 20 + [10_000] * 80)
        assert certified(crops, tested, 10_000)["shortest"] == 200
        assert certified(crops, tested, 10_000, wrong=range(5))["shortest"] == 1000
        assert certified(crops, np.array([200] * 6 + [10_000] * 94), 10_000)["shortest"] == 1000

    def test_few_records_certify_nothing(self):
        assert certified([], np.full(9, 1000), 1000) is None

    @pytest.mark.parametrize(
        ("crop", "shortest"),
        [
            (crop(1000, 0.0, units=31), 1000),
            (crop(1000, 0.0, units=29), 30_000),
            (crop(1000, 0.03, high=0.1), 1000),
            (crop(1000, 0.03, high=0.11), 30_000),
            (crop(1000, 0.0) | {"drop": {"difference": 0.0, "low": None, "high": None}}, 30_000),
        ],
    )
    def test_a_crop_holds_where_enough_records_say_so(self, crop, shortest):
        assert certified([crop], np.full(40, 30_000), 50_000)["shortest"] == shortest

    def test_a_longer_crop_that_says_too_little_ends_the_certificate(self):
        assert certified([crop(1000, 0.0), crop(4000, 0.0, units=20)], np.full(40, 30_000), 50_000)["shortest"] == 30_000

    def test_records_outside_are_counted_in_one_warning(self, caplog):
        watch = LengthWatch({"shortest_certified": 1000, "longest_certified": 2000})
        made = [
            (SequenceRecord("r", "", b"", "f", 1), Prediction("r", length, "classified", windows=1))
            for length in (999, 1000, 2000, 2001, 5)
        ]
        made.append((made[0][0], Prediction("r", 3, "too_short")))
        assert list(watch.watch(made)) == made
        watch.warn()
        assert [record.getMessage() for record in caplog.records] == [
            "3 of 5 records are outside the lengths at which the model's accuracy was measured to hold: 2 shorter than 1,000, 1 longer than 2,000 bases"
        ]

    @pytest.mark.parametrize("evaluation", [None, {}, {"accuracy": 1.0}, {"shortest_certified": 1, "longest_certified": 9}])
    def test_no_certificate_or_nothing_outside_no_warning(self, evaluation, caplog):
        watch = LengthWatch(evaluation)
        list(watch.watch([(SequenceRecord("r", "", b"", "f", 1), Prediction("r", 5, "classified", windows=1))]))
        watch.warn()
        assert not caplog.records


def test_the_certificate_travels_from_the_run_to_the_prediction(tmp_path, capsys):
    small = ["--preset", "tiny", "--split", "stratified", "--set", "train.steps=1", "--set", "train.embedding_start=random"]
    rng = random.Random(9)
    sources = [
        f"{name}={write_fasta(tmp_path / f'{name}.fa', {f'{name}{n}': random_sequence(rng, 2500 + n, gc=gc) for n in range(70)})}"
        for name, gc in (("poor", 0.3), ("rich", 0.7))
    ]
    assert main(["train", *sources, "-o", str(tmp_path / "run"), *small]) == 0
    metrics = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text())
    certificate, evaluation = metrics["length_certificate"], load_bundle(tmp_path / "run").provenance["evaluation"]
    assert (evaluation["shortest_certified"], evaluation["longest_certified"]) == (certificate["shortest"], certificate["longest"])
    assert [row["block"] for row in metrics["checks"]["shuffles"]] == [1000]
    assert f"length certificate: {certificate['shortest']:,} to {certificate['longest']:,} bases; accuracy was" in capsys.readouterr().err
    inside = write_fasta(tmp_path / "inside.fa", {"a": random_sequence(rng, certificate["longest"], gc=0.3)})
    mixed = write_fasta(tmp_path / "mixed.fa", {"a": "ACGTA" * 40, "b": random_sequence(rng, 9000, gc=0.3)})
    assert main(["predict", str(tmp_path / "run"), str(inside), "-o", str(tmp_path / "inside.tsv")]) == 0
    assert "outside" not in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "run"), str(mixed), "-o", str(tmp_path / "mixed.tsv")]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "outside" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: 2 of 2 records are outside the lengths")
    assert main(["train", *sources, "-o", str(tmp_path / "other"), *small, "--set", "train.checks=false"]) == 0
    assert "shortest_certified" not in load_bundle(tmp_path / "other").provenance["evaluation"]
    assert "Shuffle and crop checks were not made" in (tmp_path / "other" / "report.html").read_text()


@pytest.fixture(scope="module")
def metrics(ordered):
    baselines = baseline_probabilities(ordered, "test", strand="both", seed=0)
    labels = ordered.label_ids[ordered.indices("test")]
    ours = np.eye(2)[labels]
    found = compare(labels, ordered.classes, ours, baselines, split="test", resamples=200)
    found["audit"] = find_shortcuts(labels, ordered.classes, baselines, found, groups=None, seed=0)
    return found | checked(ordered, poor_first)[1]


class TestReport:
    def test_gains_are_listed_from_the_smallest(self, metrics):
        rows = gain_rows(metrics)
        assert len(rows) == 7
        best = min(metrics["gains"].values(), key=lambda gain: gain["difference"])
        assert rows[0][2].text == f"+{best['difference']:.3f}"
        assert {key: metrics["gain"][key] for key in best} == best

    def test_checks_are_rows_with_the_records_as_they_are(self, metrics):
        rows = check_rows(metrics)
        assert [row[0].text for row in rows[:2]] == ["shuffled in blocks of 1,000 bases", "shuffled in blocks of 4,000 bases"]
        assert rows[0][2].interval == "1.000 as they are"
        assert rows[0][4].text.startswith("\N{MINUS SIGN}0.")
        words = check_words(metrics)
        assert "The order of pieces of 1,000 bases matters to the network." in words
        assert any("16,000 to 20,000 bases" in sentence for sentence in words)
        shuffle, *others = metrics["checks"]["shuffles"]
        better = shuffle | {"drop": {"difference": -0.2, "low": -0.3, "high": -0.1}}
        (said,) = (
            each
            for each in check_words(metrics | {"checks": metrics["checks"] | {"shuffles": [better, *others]}})
            if "1,000" in each and "misleads" in each
        )
        assert said == "The order of pieces of 1,000 bases matters to the network, and misleads it: it does better without."
        none = metrics | {"checks": metrics["checks"] | {"whole": {"accuracy": 0.5, "macro_f1": 0.3}}}
        assert "Shuffling can't tell what the network uses: its answers are no better than one class for all." in check_words(none)
        assert any("Not made: shuffle at 16,000 bases" in sentence for sentence in words)
        assert length_figure(metrics).drawing.count("<circle") == 6

    def test_the_resamples_are_those_that_were_written_down(self, metrics):
        assert metrics["checks"]["resamples"] == 200
        other = metrics | {"checks": metrics["checks"] | {"resamples": 1_500}}
        assert "intervals are of 1,500 resamples" in check_words(other)[0]

    @pytest.mark.parametrize(
        ("low", "high", "records", "families", "said"),
        [
            (0.01, 0.5, 24, 24, "matters to the network"),
            (-0.02, 0.5, 24, 24, "too few records to tell"),
            (None, None, 500, 1, "too few records to tell"),
            (-0.01, 0.05, 300, 300, "what the network uses is inside them"),
            (0.0, 0.0, 24, 24, "too few records to tell"),
            (0.0, 0.0, 300, 2, "too few records to tell"),
            (0.0, 0.0, 300, 300, "what the network uses is inside them"),
        ],
    )
    def test_no_effect_of_order_is_said_to_be_none_only_where_records_are_enough(self, metrics, low, high, records, families, said):
        row = metrics["checks"]["shuffles"][0] | {"records": records, "units": records, "drop": {"low": low, "high": high}}
        made = metrics | {"bootstrap": {"units": records, "families": families}, "checks": metrics["checks"] | {"shuffles": [row]}}
        [sentence] = [words for words in check_words(made) if "pieces of" in words]
        assert said in sentence

    def test_traits_are_rows(self, metrics):
        assert [row[0].text for row in trait_rows(metrics)] == ["length", "GC"]
        assert trait_rows(metrics | {"audit": None}) == []


def test_the_gain_over_each_baseline_is_the_difference_of_the_figures(ordered):
    baselines = baseline_probabilities(ordered, "test", strand="both", seed=0)
    labels = ordered.label_ids[ordered.indices("test")]
    metrics = compare(labels, ordered.classes, np.eye(2)[labels], baselines, split="test", resamples=50)
    for name, gain in metrics["gains"].items():
        assert gain["difference"] == pytest.approx(1 - headline(labels, baselines[name])["macro_f1"])
