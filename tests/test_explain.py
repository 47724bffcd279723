"""Explanations: what hiding a stretch costs is what the network says of the record without it."""

import csv
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_data import MODEL, TOKENIZER, random_sequence
from torch import nn

from genomix.bundle import Bundle, new_model, save_bundle
from genomix.cli.main import main
from genomix.errors import UsageError
from genomix.explain import SHORTEST, ExplainSettings, ExplainTables, explain, log_odds, stretches
from genomix.predict import predict
from genomix.records import SequenceRecord
from genomix.report.explanations import COLUMNS
from genomix.scorer import PredictSettings
from genomix.tokenizers import build_tokenizer

CLASSES = ("with", "without", "neither")
ELEMENT = "GATTACA" * 4


class CountsKmers(nn.Module):
    """The logit of the first class is a tenth of the record's GAT and ATC (the same read on the other strand), the others are 0."""

    def __init__(self):
        super().__init__()
        self.settings = SimpleNamespace(max_tokens=4096)
        self.unused = nn.Parameter(torch.zeros(1))
        tokenizer = build_tokenizer(TOKENIZER)
        self.wanted = torch.tensor([number for number in range(tokenizer.unknown) if tokenizer.decode(number) in {"GAT", "ATC"}])

    def forward(self, tokens, lengths, circular):  # noqa: ARG002 - as a classifier has them
        found = torch.isin(tokens, self.wanted).sum(1) / 10
        return torch.stack([found, torch.zeros_like(found), torch.zeros_like(found)], 1)


@pytest.fixture
def counting():
    return Bundle(CountsKmers(), TOKENIZER, CLASSES, "both", circular=False)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("bundle") / "model"
    save_bundle(Bundle(new_model(MODEL, TOKENIZER, 3).eval(), TOKENIZER, CLASSES, "both", circular=False), folder)
    return str(folder)


def record(sequence, name="r"):
    return SequenceRecord(name, "", sequence.encode(), "f.fa", 1)


def settings(stretch=None):
    return ExplainTables(explain=ExplainSettings(stretch=stretch))


# ---- what an effect is -----------------------------------------------------------------------------------------------------------------------------


def test_what_the_class_rests_on_has_all_the_effect(counting):
    sequence = "C" * 350 + ELEMENT + "C" * (450 - len(ELEMENT))
    (found,) = explain(counting, [record(sequence)], settings(100), label="with")
    effects = {each.start: each.effect for each in found.stretches}
    assert effects.pop(300) == pytest.approx(0.4, abs=1e-6)  # four GAT; the other classes' logits stay
    assert effects == pytest.approx(dict.fromkeys((0, 100, 200, 400, 500, 600, 700), 0.0), abs=1e-9)


def test_what_speaks_for_a_class_speaks_against_the_others(counting):
    sequence = record("C" * 300 + ELEMENT + "C" * 300)
    (first,), (other,) = (explain(counting, [sequence], settings(100), label=label) for label in ("with", "without"))
    strongest = max(first.stretches, key=lambda each: each.effect)
    assert strongest.effect > 0
    against = next(each for each in other.stretches if each.start == strongest.start)
    assert against.effect < 0
    assert strongest.probability + 2 * against.probability == pytest.approx(1)  # `neither` is as likely as `without`


def test_the_class_asked_about_is_the_most_probable_one_unless_named(counting):
    found = [each.label for each in explain(counting, [record("C" * 50 + ELEMENT + "C" * 50)], settings())]
    assert found == ["with"]
    with pytest.raises(UsageError, match="no class 'wiht'"):
        explain(counting, [], settings(), label="wiht")


@pytest.mark.parametrize("circular", [False, True])
def test_a_record_has_the_probability_that_prediction_gives_it_and_a_hidden_stretch_that_of_unknown_bases(circular):
    torch.manual_seed(3)
    bundle = Bundle(new_model(MODEL, TOKENIZER, 3).eval(), TOKENIZER, CLASSES, "both", circular=circular)
    sequence = random_sequence(random.Random(5), 1000, gc=0.5)
    (found,) = explain(bundle, [record(sequence)], settings(300))
    hidden = [sequence[: each.start] + "N" * (each.stop - each.start) + sequence[each.stop :] for each in found.stretches]
    whole, *others = (each for _, each in predict(bundle, map(record, [sequence, *hidden]), PredictSettings()))
    asked = CLASSES.index(found.label)
    assert found.label == whole.label
    assert found.probability == pytest.approx(whole.probability, abs=1e-6)
    for each, expected in zip(found.stretches, others, strict=True):
        assert each.probability == pytest.approx(expected.probabilities[asked], abs=1e-6)
        effect = log_odds(np.array(whole.probabilities), asked) - log_odds(np.array(expected.probabilities), asked)
        assert each.effect == pytest.approx(effect, abs=1e-4)


def test_log_odds_are_finite_where_probabilities_are_none():
    assert log_odds(np.array([0.75, 0.25]), 0) == pytest.approx(np.log(3))
    assert log_odds(np.array([1.0, 0.0]), 0) == -log_odds(np.array([1.0, 0.0]), 1)
    assert np.isfinite(log_odds(np.array([1.0, 0.0]), 0))


@given(length=st.integers(1, 10_000_000), longest=st.one_of(st.none(), st.integers(500, 20_000_000)))
def test_stretches_cover_a_record_once(length, longest):
    spans = stretches(length, longest)
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert spans[-1][1] == length
    sizes = [stop - start for start, stop in spans]
    assert max(sizes) - min(sizes) <= 1
    if longest is None:
        assert len(spans) <= 64
        assert max(sizes) <= SHORTEST or len(spans) >= min(64, length // SHORTEST)
    else:
        assert max(sizes) <= longest


# ---- the command -----------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "new.fa"
    rng = random.Random(1)
    path.write_text(f">one\n{random_sequence(rng, 250, gc=0.5)}\n>short\nAC\n>\n{random_sequence(rng, 90, gc=0.5)}\n>n\n{'N' * 40}\n")
    return str(path)


def test_a_row_for_each_stretch_and_one_for_a_record_that_is_not_read(model_folder, fasta, tmp_path, capsys):
    for name, dialect in (("out.tsv", "excel-tab"), ("out.csv", "excel")):
        assert main(["explain", model_folder, fasta, "-o", str(tmp_path / name)]) == 0
        with (tmp_path / name).open(newline="") as file:
            rows = list(csv.DictReader(file, dialect=dialect))
        assert tuple(rows[0]) == COLUMNS
        assert [(row["id"], row["start"], row["end"], row["status"]) for row in rows] == [
            ("one", "0", "83", "explained"),
            ("one", "83", "166", "explained"),
            ("one", "166", "250", "explained"),
            ("short", "0", "2", "too_short"),
            ("", "0", "90", "explained"),
            ("n", "0", "40", "too_ambiguous"),
        ]
        assert {row["label"] for row in rows if row["status"] == "explained"} <= set(CLASSES)
        assert all(row["effect"] and row["probability_hidden"] for row in rows if row["status"] == "explained")
        assert not any(row["effect"] or row["probability"] or row["label"] for row in rows if row["status"] != "explained")
        assert "4 records: 2 explained, 1 too_ambiguous, 1 too_short" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["bedgraph", "bg"])
def test_a_track_has_the_effects_of_the_table(ending, model_folder, fasta, tmp_path, capsys):
    assert main(["explain", model_folder, fasta, "--stretch", "50", "-o", str(tmp_path / f"out.{ending}")]) == 0
    assert main(["explain", model_folder, fasta, "--stretch", "50"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    expected = [[row[0] or ".", row[1], row[2], row[7]] for row in rows if row[3] == "explained"]
    assert [line.split("\t") for line in (tmp_path / f"out.{ending}").read_text().splitlines()] == expected
    assert len(expected) == 7


@pytest.mark.parametrize(
    ("more", "code", "expected"),
    [
        (["--label", "wiht"], 2, "the model has no class 'wiht'; its classes are 'with', 'without', 'neither'"),
        (["--stretch", "0"], 78, "explain.stretch"),
        (["--set", "explain.strech=5"], 78, "did you mean stretch?"),
        (["-o", "out.tsv.gz"], 2, "plain text"),
        (["--config", "own.toml", "-o", "own.toml", "--force"], 73, "would be overwritten"),
        (["--model", "m"], 2, "the model comes first: genomix explain MODEL SEQUENCES"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(more, code, expected, model_folder, fasta, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").touch()
    assert main(["explain", model_folder, fasta, *more]) == code
    said = capsys.readouterr()
    assert expected in " ".join(said.err.split()).replace(" hint: ", "; ")
    assert said.out == ""
    assert {each.name: each.read_text() for each in tmp_path.glob("*o*")} == {"own.toml": ""}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new.fa", "own.toml"]


def test_an_output_that_exists_stays_unless_it_may_go(model_folder, fasta, tmp_path):
    (tmp_path / "out.tsv").write_text("mine")
    assert main(["explain", model_folder, fasta, "-o", str(tmp_path / "out.tsv")]) == 73
    assert (tmp_path / "out.tsv").read_text() == "mine"
    assert main(["explain", model_folder, fasta, "-o", str(tmp_path / "out.tsv"), "--force"]) == 0
    assert (tmp_path / "out.tsv").read_text().startswith("id\tstart")


def test_settings_of_a_run_are_used(model_folder, fasta, tmp_path, capsys):
    mostly = tmp_path / "mostly.fa"
    mostly.write_text(f">m\n{'N' * 32}ACGTACGT\n")
    (tmp_path / "run.toml").write_text("[train]\nsteps = 1\n[explain]\nstretch = 125\n[predict]\nmax_ambiguous = 1.0\n")
    assert main(["explain", model_folder, fasta, str(mostly), "--config", str(tmp_path / "run.toml")]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:4] for row in rows] == [
        ["one", "0", "125", "explained"],
        ["one", "125", "250", "explained"],
        ["short", "0", "2", "too_short"],
        ["", "0", "90", "explained"],
        ["n", "0", "40", "too_ambiguous"],
        ["m", "0", "40", "explained"],
    ]


def test_what_has_no_effect_is_said_and_what_is_done_several_times_over_refused(model_folder, fasta, capsys, monkeypatch):
    assert main(["explain", model_folder, fasta, "--set", "predict.threshold=1"]) == 0
    assert "warning: predict.threshold has no effect here" in capsys.readouterr().err
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    assert main(["explain", model_folder, fasta]) == 2
    assert "explain is one process, and torchrun started several" in capsys.readouterr().err
    assert main(["preprocess", f"a={fasta}", "-o", str(Path(fasta).parent / "dataset")]) == 2
    assert "preprocess is one process, and torchrun started several" in capsys.readouterr().err
    assert not (Path(fasta).parent / "dataset").exists()


def test_lengths_at_which_nothing_vouches_for_the_model_are_warned_of(counting, caplog):
    certified = replace(counting, provenance={"evaluation": {"shortest_certified": 500, "longest_certified": 600}})
    assert len(list(explain(certified, [record("C" * length) for length in (2, 50, 550)], settings()))) == 3
    assert "1 of 2 records are outside the lengths" in caplog.text
