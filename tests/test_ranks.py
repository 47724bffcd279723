"""Labels that are paths in a tree: what is a node, which rank is called, what a rank scores, and what preprocessing refuses."""

import csv
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from small_data import MODEL, TOKENIZER, write_fasta

from genomix.bundle import Bundle, new_model, save_bundle
from genomix.cli.main import main
from genomix.data.store import Dataset
from genomix.metrics import compare, summary_lines
from genomix.predict import predict
from genomix.ranks import Ranks, levels, ranks_of
from genomix.records import SequenceRecord
from genomix.report.predictions import COLUMNS
from genomix.scorer import PredictSettings

TREE = ("Archaea;A;x", "Bacteria;A;x", "Bacteria;A;y", "Bacteria;B;x")
"""One leaf name below three parents, one middle name below two."""


# ---- the tree ----------------------------------------------------------------------------------------------------------------------------------------


def test_nodes_are_told_apart_by_their_whole_path():
    ranks = ranks_of(TREE)
    assert len(ranks) == 3
    assert ranks.nodes == [("Archaea", "Bacteria"), ("Archaea;A", "Bacteria;A", "Bacteria;B"), TREE]
    probabilities = np.array([0.1, 0.2, 0.3, 0.4])
    assert ranks.sums(probabilities, 1) == pytest.approx([0.1, 0.9])
    assert ranks.sums(probabilities, 2) == pytest.approx([0.1, 0.5, 0.4])
    assert ranks.sums(probabilities, 3) == pytest.approx(probabilities)
    assert ranks.labels(np.array([3, 0, 2]), 2).tolist() == [2, 0, 1]


def test_the_order_of_the_classes_does_not_matter():
    probabilities = np.array([[0.4, 0.1, 0.3, 0.2], [0.0, 1.0, 0.0, 0.0]])
    shuffled = ranks_of((TREE[3], TREE[0], TREE[2], TREE[1]))
    assert shuffled.sums(probabilities, 1) == pytest.approx(np.array([[0.1, 0.9], [1.0, 0.0]]))
    assert shuffled.choose(probabilities[0], 0.35).label == "Bacteria;B;x"


@pytest.mark.parametrize("classes", [("a", "b"), ("a;b", "c"), ("a;b;c", "a;d"), ("", "a")])
def test_plain_names_and_uneven_paths_are_no_tree(classes):
    assert ranks_of(classes) is None


@pytest.mark.parametrize(
    ("threshold", "label", "rank", "probability", "margin"),
    [
        (0.0, "Bacteria;B;x", 3, 0.4, 0.1),
        (0.4, "Bacteria;B;x", 3, 0.4, 0.1),
        (0.41, "Bacteria;A", 2, 0.5, 0.1),
        (0.6, "Bacteria", 1, 0.9, 0.8),
        (0.95, "", 0, 0.9, 0.8),
    ],
)
def test_the_deepest_rank_that_passes_is_called(threshold, label, rank, probability, margin):
    choice = ranks_of(TREE).choose(np.array([0.1, 0.2, 0.3, 0.4]), threshold)
    assert (choice.label, choice.rank) == (label, rank)
    assert (choice.probability, choice.margin) == (pytest.approx(probability), pytest.approx(margin))


def test_one_root_above_all_is_always_called():
    choice = Ranks([("Life", "a"), ("Life", "b"), ("Life", "c")]).choose(np.full(3, 1 / 3), 0.99)
    assert (choice.label, choice.rank, choice.probability, choice.margin) == ("Life", 1, pytest.approx(1), pytest.approx(1))


trees = st.lists(st.tuples(*[st.sampled_from("abc")] * 3), min_size=2, max_size=15, unique=True)


@given(trees, st.integers(0, 99), st.floats(0, 1))
def test_choices_agree_with_sums_written_out(paths, seed, threshold):
    probabilities = np.random.default_rng(seed).dirichlet(np.full(len(paths), 0.3))
    choice = Ranks(paths).choose(probabilities, threshold)
    expected = ("", 0)
    for rank in (1, 2, 3):
        sums = {}
        for path, probability in zip(paths, probabilities, strict=True):
            sums[";".join(path[:rank])] = sums.get(";".join(path[:rank]), 0.0) + probability
        best = max(sums, key=sums.get)
        if sums[best] >= threshold + 1e-12:
            expected = (best, rank)
        elif sums[best] > threshold - 1e-12:
            return  # a tie that rounding decides
    assert (choice.label, choice.rank) == expected


@given(trees, st.integers(0, 99))
def test_above_one_half_a_lower_threshold_only_goes_deeper(paths, seed):
    probabilities = np.random.default_rng(seed).dirichlet(np.full(len(paths), 0.3))
    ranks = Ranks(paths)
    choices = [ranks.choose(probabilities, threshold) for threshold in (0.99, 0.8, 0.6, 0.51)]
    for strict, loose in pairwise(choices):
        assert loose.rank >= strict.rank
        assert f"{loose.label};".startswith(f"{strict.label};" if strict.label else "")


def test_levels_of_a_label():
    assert levels("k__Bacteria; p__Firmicutes;c__Bacilli;") == ("k__Bacteria", "p__Firmicutes", "c__Bacilli")
    assert levels("a;;b") == ("a", "", "b")


# ---- figures -----------------------------------------------------------------------------------------------------------------------------------------


def compared(classes=TREE, records=200):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, records)
    ours = 0.5 * np.eye(4)[labels] + 0.5 * rng.dirichlet(np.ones(4), records)
    return labels, ours, compare(labels, classes, ours, {"kmer4": rng.dirichlet(np.ones(4), records)}, split="test", resamples=20)


def test_each_rank_is_scored_by_summed_probabilities():
    labels, ours, metrics = compared()
    domains = np.array([0, 1, 1, 1])
    called = (ours[:, 1:].sum(axis=1) > ours[:, 0]).astype(int)
    first, _, last = metrics["ranks"]
    assert (first["rank"], first["nodes"]) == (1, 2)
    assert first["accuracy"] == pytest.approx(np.mean(domains[labels] == called))
    assert first["macro_f1"] == pytest.approx(sk.f1_score(domains[labels], called, average="macro"))
    assert (last["accuracy"], last["macro_f1"]) == (metrics["accuracy"], metrics["macro_f1"])
    assert last["baselines"]["kmer4"]["macro_f1"] == metrics["baselines"]["kmer4"]["macro_f1"]
    json.dumps(metrics, allow_nan=False)


def test_the_terminal_has_a_line_a_rank_only_where_there_are_ranks():
    _, _, metrics = compared()
    last = summary_lines(metrics)[-4:]
    assert [line.split()[:2] for line in last] == [["by", "rank"], ["rank", "1"], ["rank", "2"], ["rank", "3"]]
    assert f"{metrics['ranks'][0]['accuracy']:.3f}" in last[1]
    assert last[1].endswith("(4-mers)")
    _, _, flat = compared(classes=("a", "b", "c", "d"))
    assert flat["ranks"] is None
    assert not [line for line in summary_lines(flat) if "rank" in line]


# ---- prediction --------------------------------------------------------------------------------------------------------------------------------------


def bundle_of(classes):
    torch.manual_seed(3)
    return Bundle(new_model(MODEL, TOKENIZER, len(classes)).eval(), TOKENIZER, classes, "both", circular=False)


def predicted(classes, threshold):
    record = SequenceRecord("r", "", b"ACGTTGCA" * 20, "f.fa", 1)
    [(_, prediction)] = predict(bundle_of(classes), [record], PredictSettings(threshold=threshold))
    return prediction


def test_a_threshold_raises_the_rank_and_not_the_probabilities():
    leaf = predicted(TREE, 0.0)
    assert (leaf.rank, leaf.status) == (3, "classified")
    assert leaf.label == TREE[int(np.argmax(leaf.probabilities))]
    above = predicted(TREE, leaf.probability + 0.01)
    assert 0 < above.rank < 3
    assert above.label in {";".join(path.split(";")[: above.rank]) for path in TREE}
    assert above.probability == pytest.approx(
        sum(p for name, p in zip(TREE, leaf.probabilities, strict=True) if name.startswith(above.label))
    )
    assert above.probabilities == leaf.probabilities
    refused = predicted(TREE, 1.0)
    assert (refused.status, refused.label, refused.rank) == ("unclassified", "", None)
    assert predicted(("a", "b", "c", "d"), 0.0).rank is None


@pytest.mark.parametrize(("classes", "extra"), [(TREE, ["rank"]), (("a", "b", "c", "d"), [])])
def test_the_column_rank_is_there_for_labels_with_ranks(classes, extra, tmp_path):
    save_bundle(bundle_of(classes), tmp_path / "model")
    write_fasta(tmp_path / "x.fa", {"long": "ACGTTGCA" * 20, "short": "AC"})
    for form in ("tsv", "jsonl"):
        command = ["predict", str(tmp_path / "model"), str(tmp_path / "x.fa"), "-o", str(tmp_path / form), "--format", form]
        assert main(command) == 0
    with (tmp_path / "tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    assert list(rows[0]) == [*COLUMNS, *extra, *(f"prob_{name}" for name in classes)]
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert [row.get("rank") for row in rows] == (["3", ""] if extra else [None, None])
    assert [line.get("rank", "absent") for line in lines] == ([3, None] if extra else ["absent", "absent"])


# ---- preprocessing -----------------------------------------------------------------------------------------------------------------------------------


def preprocessed(folder, labels):
    """Exit code of `preprocess` on records of these labels, three records a label."""
    rng = np.random.default_rng(0)
    sequences = {f"r{number}": "".join(rng.choice(list("ACGT"), 80)) for number in range(3 * len(labels))}
    write_fasta(folder / "s.fa", sequences)
    rows = [f"{name}\t{labels[number // 3]}" for number, name in enumerate(sequences)]
    (folder / "l.tsv").write_text("id\tlabel\n" + "\n".join(rows) + "\n")
    return main(["preprocess", str(folder / "s.fa"), "--labels", str(folder / "l.tsv"), "-o", str(folder / "d"), "--split", "stratified"])


def test_blanks_around_levels_and_a_semicolon_at_the_end_are_dropped(tmp_path):
    assert preprocessed(tmp_path, ["k__A; p__x;", "k__A;p__y", " k__B ;p__x"]) == 0
    assert Dataset.open(tmp_path / "d").classes == ("k__A;p__x", "k__A;p__y", "k__B;p__x")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["A;x;p", "A;y"], "record 4 ('r3'): label 'A;y' has 2 levels, expected 3 as in 'A;x;p' of "),
        (["A;x", "B"], "record 4 ('r3'): label 'B' has 1 level, expected 2 as in 'A;x' of "),
        (
            ["A;x;p", "A;y", "B", "A;x;q", "C; z"],
            "; labels in all: 1 of 1 level ('B'), 2 of 2 levels ('A;y'), 2 of 3 levels ('A;x;p')",
        ),
        (["A;x", "A;;y"], "record 4 ('r3'): level 2 of label 'A;;y' is empty"),
    ],
)
def test_labels_of_unequal_depth_are_refused_in_one_line(labels, said, tmp_path, capsys):
    assert preprocessed(tmp_path, labels) == 65
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[0]
    assert lines[1].strip().startswith("hint: a ; separates the ranks of a label")
    assert ("such as 'B;unknown'" in lines[1]) == (labels[1:] == ["B"])
    assert ("such as 'A;y;unknown'" in lines[1]) == ("A;y" in labels)
    assert len(lines) == 2
    assert not (tmp_path / "d").exists()
