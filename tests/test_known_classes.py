"""A model evaluated on another laboratory's dataset, whose classes are others or are spelt in another way."""

import csv
import difflib
import json
from dataclasses import replace

import pytest
import torch
from small_data import MODEL, TOKENIZER, small_dataset

from genomix.bundle import Bundle, new_model, save_bundle
from genomix.cli import choices
from genomix.cli.main import main
from genomix.data.known_classes import Unknown, known_records
from genomix.errors import DataError
from genomix.evaluate import evaluate


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def labelled(dataset):
    """How many test records each class has: they are alike in number."""
    return len(dataset.indices("test")) // 2


def model_of(*classes):
    torch.manual_seed(0)
    return Bundle(new_model(MODEL, TOKENIZER, len(classes)), TOKENIZER, classes, "both", circular=False)


def test_all_unknown_classes_are_named_with_their_records_and_the_nearest_of_the_model(dataset, labelled):
    with pytest.raises(DataError) as raised:
        evaluate(model_of("Po or", "rych", "other"), dataset)
    assert raised.value.message == (
        f"{2 * labelled} of {2 * labelled} records are of classes that the model does not know: 'poor' ({labelled}), 'rich' ({labelled})"
    )
    assert raised.value.hint == "did you mean 'Po or' for 'poor', 'rych' for 'rich'?", "there is nothing to evaluate without them"
    with pytest.raises(DataError) as raised:
        evaluate(model_of("other", "rich"), dataset)
    assert raised.value.hint == "the model knows other, rich; --unknown drop leaves these records out"


def test_many_unknown_classes_are_counted():
    class Other:
        folder, classes = "there", tuple(f"class {number:02}" for number in range(14))
        label_ids = torch.arange(14).repeat(2).numpy()

    with pytest.raises(DataError, match=r"'class 02' \(2\), .*'class 11' \(2\) and 2 more") as raised:
        known_records(Other(), torch.arange(28).numpy(), ("class 00", "class 01"), "error")
    assert raised.value.hint.startswith("the model knows class 00, class 01;"), "those two have records of their own"


def test_of_thousands_of_unknown_classes_those_that_are_named_are_compared(monkeypatch):
    class Other:
        folder, classes = "there", tuple(f"class {number:04}xy" for number in range(2_000))
        label_ids = torch.arange(2_000).numpy()

    compared, matches = [], difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", lambda name, *words, **more: compared.append(name) or matches(name, *words, **more))
    known = tuple(f"kind {number:04}zz" for number in range(2_000))
    with pytest.raises(DataError) as raised:
        known_records(Other(), Other.label_ids, known, "error")
    assert raised.value.hint.startswith("the model knows kind 0000zz, ")
    assert len(compared) == 10
    with pytest.raises(DataError) as raised:
        known_records(Other(), Other.label_ids, (*known, "Class-1999-XY"), "error")
    assert raised.value.hint == "did you mean 'Class-1999-XY' for 'class 1999xy'?"


def test_they_are_left_out_where_that_is_asked_for_and_the_metrics_say_so(dataset, labelled, tmp_path, caplog, capsys):
    save_bundle(replace(model_of("other", "rich")), tmp_path / "model")
    words = ["evaluate", str(tmp_path / "model"), str(dataset.folder), "-o", str(tmp_path / "ev")]
    assert main(words) == 65
    assert main([*words, "--unknown", "drop"]) == 0
    assert f"the model does not know: 'poor' ({labelled}); they are left out" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "ev" / "metrics.json").read_text())
    assert metrics["records"] == labelled
    assert metrics["left_out"] == {"records": labelled, "classes": {"poor": labelled}}
    with (tmp_path / "ev" / "predictions.tsv").open(newline="") as file:
        assert {row["true_label"] for row in csv.DictReader(file, dialect="excel-tab")} == {"rich"}


def test_where_classes_differ_baselines_are_left_out_with_a_warning(dataset, caplog):
    metrics = evaluate(model_of("other", "poor", "rich"), dataset, checks=False)
    assert metrics["baselines"] == {}
    assert "left_out" not in metrics
    assert "the dataset has other classes than the model: baselines fitted on it could not be compared" in caplog.text


def test_the_words_of_the_option_are_those_of_the_library():
    assert {*choices.Unknown} == {*Unknown.__args__}
