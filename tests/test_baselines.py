"""Composition-only classifiers: what they count, what they learn and on which split, and what they may not see."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genomix import baselines
from genomix.baselines import STRENGTHS, baseline_probabilities, fit_baselines, fit_kmers
from genomix.data.augment import reverse_complement
from genomix.data.frequencies import complement_order, kmer_counts, kmer_frequencies
from genomix.data.labels import LabelSettings
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.errors import DataError
from genomix.metrics import headline
from genomix.records import encode_bases

NAMES = ["majority", "length", "gc", "length_gc", "kmer4", "kmer6", "nearest"]


@dataclass
class InMemory:
    """The part of `Dataset` that baselines read, without a folder."""

    sequences: list[np.ndarray]
    label_ids: np.ndarray
    splits: np.ndarray
    classes: tuple[str, ...]
    folder: Path = Path("nowhere")
    circular: bool = False
    read: set[int] = field(default_factory=set)

    def codes(self, index):
        self.read.add(index)
        return self.sequences[index]

    def indices(self, split):
        return np.flatnonzero(self.splits == split)


@pytest.fixture(autouse=True)
def _strangers(monkeypatch):
    """`nearest` looks into a dataset's folder; test_audit.py has it. Here no record has a relative."""
    monkeypatch.setattr(baselines, "nearest_training", lambda _, indices: (np.full(len(indices), -1), np.zeros(len(indices))))


def codes(text):
    return np.frombuffer(encode_bases(text.encode()), dtype=np.uint8)


def by_composition(records=120, *, classes=2, length=400, seed=0):
    """Classes that differ in their share of G and C; every third record is for validation, every fifth for test."""
    random = np.random.default_rng(seed)
    labels = np.arange(records) % classes
    shares = np.linspace(0.2, 0.8, classes)
    sequences = []
    for label in labels:
        gc = shares[label] / 2
        sequences.append(random.choice(4, size=random.integers(length, 2 * length), p=[0.5 - gc, gc, gc, 0.5 - gc]).astype(np.uint8))
    splits = np.array([("train", "train", "validation", "train", "test")[index // classes % 5] for index in range(records)])
    return InMemory(sequences, labels, splits, tuple(f"class {number}" for number in range(classes)))


def text_counts(text, k):
    """How often each k-mer of A, C, G, T occurs, by slicing text: the slow twin of `kmer_counts`."""
    counts = np.zeros(4**k, dtype=int)
    for start in range(len(text) - k + 1):
        kmer = text[start : start + k]
        if "N" not in kmer:
            counts[sum("ACGT".index(base) * 4 ** (k - 1 - place) for place, base in enumerate(kmer))] += 1
    return counts


class TestFrequencies:
    @given(text=st.text("ACGTN", max_size=60), k=st.integers(1, 4))
    def test_counts_are_those_of_the_text(self, text, k):
        assert kmer_counts(codes(text), k).tolist() == text_counts(text, k).tolist()

    def test_pieces_of_a_long_record_add_up(self, monkeypatch):
        record = codes("".join(np.random.default_rng(0).choice(list("ACGTN"), size=1000, p=[0.24] * 4 + [0.04])))
        whole = kmer_counts(record, 5)
        for size in (1, 7, 994, 995, 996):
            monkeypatch.setattr("genomix.data.frequencies._BASES_AT_ONCE", size)
            assert kmer_counts(record, 5).tolist() == whole.tolist()

    def test_rows_sum_to_one_or_to_nothing(self):
        dataset = InMemory([codes("ACGTACGGT"), codes("NNNNNN"), codes("AC"), codes("")], np.zeros(4, int), np.full(4, "train"), ("a",))
        table = kmer_frequencies(dataset, np.arange(4), 4, "forward")
        assert table.dtype == np.float32
        assert table.shape == (4, 256)
        assert table.sum(axis=1).tolist() == [1, 0, 0, 0]

    def test_a_record_and_its_other_strand_have_one_row_unless_the_strand_is_fixed(self):
        record = codes("ACGTTGCAAGGCTNACC")
        dataset = InMemory([record, reverse_complement(record)], np.zeros(2, int), np.full(2, "train"), ("a",))
        both, forward = (kmer_frequencies(dataset, np.arange(2), 3, strand) for strand in ("both", "forward"))
        assert both[0] == pytest.approx(both[1])
        assert not np.allclose(forward[0], forward[1])
        assert both[0] == pytest.approx(forward.mean(axis=0))

    def test_rows_follow_the_indices(self):
        dataset = by_composition(10)
        assert kmer_frequencies(dataset, np.array([7, 2]), 2, "both")[1] == pytest.approx(
            kmer_frequencies(dataset, np.array([2]), 2, "both")[0]
        )

    def test_complement_order(self):
        order = complement_order(2)
        assert order[0b0001] == 0b1011  # AC -> GT
        assert order[order].tolist() == list(range(16))
        assert (order == np.arange(16)).sum() == 4  # AT, TA, CG, GC are their own


def test_every_baseline_gives_probabilities_of_every_class():
    dataset = by_composition(classes=3)
    found = baseline_probabilities(dataset, "test", strand="both", seed=0)
    assert list(found) == NAMES
    for probabilities in found.values():
        assert probabilities.shape == (24, 3)
        assert probabilities.dtype == np.float64
        assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-12)


def test_majority_gives_the_frequencies_of_the_train_split():
    dataset = by_composition(10, classes=2)
    dataset.label_ids = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    dataset.splits = np.array(["train"] * 4 + ["test"] * 6)
    assert baseline_probabilities(dataset, "test", strand="both", seed=0)["majority"].tolist() == [[0.75, 0.25]] * 6


def test_composition_is_learned():
    dataset = by_composition()
    labels = dataset.label_ids[dataset.indices("test")]
    found = baseline_probabilities(dataset, "test", strand="both", seed=0)
    assert headline(labels, found["majority"])["accuracy"] == 0.5
    assert all(headline(labels, found[name])["accuracy"] == 1.0 for name in ("gc", "length_gc", "kmer4", "kmer6"))


def test_length_alone_is_learned_by_length_gc():
    dataset = by_composition(200, seed=3)
    random = np.random.default_rng(3)
    dataset.sequences = [random.integers(4, size=300 if label else 900).astype(np.uint8) for label in dataset.label_ids]
    labels = dataset.label_ids[dataset.indices("test")]
    assert headline(labels, baseline_probabilities(dataset, "test", strand="both", seed=0)["length_gc"])["accuracy"] == 1.0


def test_what_only_the_strand_tells_is_learned_only_on_one_strand():
    """Class 1 is class 0 read from the other strand."""
    random = np.random.default_rng(1)
    dataset = by_composition(100)
    sequences = [random.choice(4, size=500, p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8) for _ in range(100)]
    dataset.sequences = [reverse_complement(each) if label else each for each, label in zip(sequences, dataset.label_ids, strict=True)]
    labels = dataset.label_ids[dataset.indices("test")]
    forward, both = (
        headline(labels, baseline_probabilities(dataset, "test", strand=strand, seed=0)["kmer4"]) for strand in ("forward", "both")
    )
    assert forward["accuracy"] == 1.0
    assert both["accuracy"] < 0.8


def test_fitting_never_reads_the_test_split():
    dataset = by_composition()
    fit_baselines(dataset, strand="both", seed=0)
    assert dataset.read == set(dataset.indices("train")) | set(dataset.indices("validation"))


def test_the_strength_is_the_best_on_the_validation_split():
    """Labels that carry nothing: the chosen strength must be the one that an exhaustive look at the validation split names."""
    dataset = by_composition(150, seed=5)
    dataset.label_ids = np.random.default_rng(5).permutation(dataset.label_ids)
    chosen = fit_baselines(dataset, strand="both", seed=0)["kmer4"].model.C
    validation = dataset.indices("validation")
    scores = {}
    for strength in STRENGTHS:
        alone = fit_with(dataset, (strength,))["kmer4"]
        figures = headline(dataset.label_ids[validation], alone.probabilities(dataset, validation))
        scores[strength] = (figures["macro_f1"], -figures["log_loss"])
    assert scores[chosen][0] == pytest.approx(max(scores.values())[0], abs=0.05)
    assert len({round(score[0], 3) for score in scores.values()}) > 1


def fit_with(dataset, strengths):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "STRENGTHS", strengths)
        return fit_baselines(dataset, strand="both", seed=0)


def test_without_a_validation_split_the_strength_is_fixed():
    dataset = by_composition()
    dataset.splits[dataset.splits == "validation"] = "train"
    assert fit_baselines(dataset, strand="both", seed=0)["kmer6"].model.C == baselines.DEFAULT_STRENGTH


def test_a_class_without_training_records_gets_nothing():
    dataset = by_composition(classes=3)
    dataset.splits[(dataset.label_ids == 1) & (dataset.splits != "test")] = "test"
    found = baseline_probabilities(dataset, "test", strand="both", seed=0)
    for probabilities in found.values():
        assert (probabilities[:, 1] == 0).all()
        assert probabilities.sum(axis=1) == pytest.approx(1)


def test_one_class_in_training_is_predicted_throughout():
    dataset = by_composition()
    dataset.splits[dataset.label_ids == 1] = "test"
    found = baseline_probabilities(dataset, "test", strand="both", seed=0)
    assert all((probabilities == [1.0, 0.0]).all() for probabilities in found.values())


def test_unlabelled_records_are_neither_learned_from_nor_read():
    dataset = by_composition()
    dataset.label_ids = np.where(np.arange(120) % 7 == 0, -1, dataset.label_ids)
    labelled = [index for index in dataset.indices("test") if dataset.label_ids[index] >= 0]
    found = baseline_probabilities(dataset, "test", strand="both", seed=0)
    assert {len(probabilities) for probabilities in found.values()} == {len(labelled)}
    assert not dataset.read & set(np.flatnonzero(dataset.label_ids < 0))


def test_no_training_record_is_an_error_of_the_data():
    dataset = by_composition()
    dataset.splits[:] = "test"
    with pytest.raises(DataError, match="no labelled record in the train split"):
        fit_baselines(dataset, strand="both", seed=0)


def test_an_empty_split_has_no_rows():
    dataset = by_composition()
    dataset.splits[dataset.splits == "test"] = ""
    found = baseline_probabilities(dataset, "test", strand="both", seed=0)
    assert {probabilities.shape for probabilities in found.values()} == {(0, 2)}


def test_a_large_train_split_is_sampled_by_the_seed(monkeypatch, caplog):
    monkeypatch.setattr(baselines, "MOST_RECORDS", 30)
    found = {}
    for seed in (0, 0, 1):
        dataset = by_composition()
        with caplog.at_level(logging.INFO):
            found.setdefault(seed, []).append(baseline_probabilities(dataset, "test", strand="both", seed=seed)["kmer4"])
        assert len(dataset.read - set(dataset.indices("test"))) == 30 + 24
    assert "fitted on 30 of 72 records" in caplog.text
    assert (found[0][0] == found[0][1]).all()
    assert not (found[0][0] == found[1][0]).all()


def test_reading_in_parts_changes_nothing(monkeypatch):
    dataset = by_composition()
    fitted, indices = fit_baselines(dataset, strand="both", seed=0)["kmer4"], dataset.indices("test")
    whole = fitted.probabilities(dataset, indices)
    monkeypatch.setattr(baselines, "_RECORDS_AT_ONCE", 5)
    assert fitted.probabilities(dataset, indices) == pytest.approx(whole, abs=1e-6)


def test_a_fit_that_stops_early_is_not_the_users_business(monkeypatch):
    """A ConvergenceWarning would fail this test: warnings are errors here."""
    monkeypatch.setattr(baselines, "_MOST_ITERATIONS", 1)
    assert list(fit_baselines(by_composition(), strand="both", seed=0)) == NAMES


@pytest.mark.shared
def test_insect_orders_by_their_mitochondria_of_unseen_genera(shared, tmp_path):
    """Real genomes through a real dataset folder; 6-mers reach what the set's own description says of k-mer logistic regression (.990)."""
    folder = shared / "insect_mito_orders"
    made = PreprocessSettings(labels=LabelSettings(table=str(folder / "labels.tsv")), split=SplitSettings(method="column"), circular=True)
    dataset = preprocess([str(folder / "sequences.fasta.gz")], made, tmp_path / "dataset")
    found = baseline_probabilities(dataset, "test", strand="both", seed=0)
    scores = {name: headline(dataset.label_ids[dataset.indices("test")], each)["macro_f1"] for name, each in found.items()}
    assert scores["majority"] < scores["length_gc"] < scores["kmer4"] < scores["kmer6"]
    assert scores["kmer6"] > 0.96


def by_strand(records=120, *, length=400):
    """Classes that are each other's reverse complement in composition: one has the As, the other the Ts."""
    rng = np.random.default_rng(1)
    shares = ([0.4, 0.2, 0.3, 0.1], [0.1, 0.3, 0.2, 0.4])
    labels = np.arange(records) % 2
    splits = np.array(["train", "train", "validation", "test"])[np.arange(records) // 2 % 4]
    sequences = [rng.choice(4, size=length, p=shares[label]).astype(np.uint8) for label in labels]
    return InMemory(sequences, labels, splits, ("first", "second"))


@pytest.mark.parametrize("roots", [True, False])
def test_kmers_of_one_strand_tell_strands_apart_and_those_of_both_do_not(roots):
    dataset = by_strand()
    test = dataset.indices("test")
    accuracy = {
        strand: headline(dataset.label_ids[test], fit_kmers(dataset, 4, strand=strand, roots=roots).probabilities(dataset, test))[
            "accuracy"
        ]
        for strand in ("forward", "both")
    }
    assert accuracy["forward"] == 1
    assert accuracy["both"] < 0.8


def test_plain_frequencies_and_their_roots_are_different_features():
    dataset = by_composition()
    first, second = (
        fit_kmers(dataset, 4, strand="both", roots=roots).features(dataset, dataset.indices("test")) for roots in (False, True)
    )
    np.testing.assert_allclose(np.sqrt(first), second, rtol=1e-6)


def test_kmers_need_two_classes_to_train_on():
    dataset = by_strand()
    dataset.label_ids = np.zeros_like(dataset.label_ids)
    with pytest.raises(DataError, match="fewer than two classes"):
        fit_kmers(dataset, 4, strand="both")
