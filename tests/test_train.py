"""A run can be killed, resumed, stopped and diverge, and says what it did; the model that it writes gives the scores that it was chosen by."""

import csv
import itertools
import json
import math
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from several_processes import run_all, start
from small_data import MODEL, TOKENIZER, TRAINING, small_dataset, write_fasta

from genomix.bundle import load_bundle
from genomix.confidence import at_temperature
from genomix.confidence.temperature import calibrated_log_losses
from genomix.data.balance import class_factors
from genomix.data.batches import TrainingBatches, plan_epoch
from genomix.data.cleaning import CleaningSettings
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.data.store import Dataset
from genomix.errors import DataError, Interrupted, OutputError, SettingsError, UsageError
from genomix.evaluate import evaluate, split_probabilities
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.predict import predict
from genomix.records import SequenceRecord, decode_bases
from genomix.report.predictions import write_predictions
from genomix.scorer import PredictSettings, build_scorer
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train import loop, run
from genomix.train.checkpoint import load_newest, read_checked, save_checkpoint, write_checked
from genomix.train.choice import Reading
from genomix.train.composition import fit_composition
from genomix.train.history import read_history
from genomix.train.optim import averaged, build_optimizer, build_schedule
from genomix.train.recipe import decide, fitting_motifs, records_of_update, resized, step_count, validation_count
from genomix.train.run import train
from genomix.train.settings import TrainSettings
from genomix.train.start import spectral_loadings
from genomix.train.state import Progress, Training
from genomix.train.stopping import stop_requests, stopping_at_once
from genomix.train.update import smoothed_loss

TRAIN_IN_A_PROCESS = """
import sys
from pathlib import Path
from small_data import MODEL, TOKENIZER, TRAINING
from genomix.data.store import Dataset
from genomix.train.run import train
train(Dataset.open(sys.argv[1]), TOKENIZER, MODEL, TRAINING, Path(sys.argv[2]), resume=True)
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run_folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(dataset, TOKENIZER, MODEL, TRAINING, folder)
    return folder


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    assert not {name: float((tensor - other[name]).abs().max()) for name, tensor in one.items() if not torch.equal(tensor, other[name])}


def last_state(folder):
    return load_newest(folder / "checkpoints")


# ---- what a run leaves behind ----------------------------------------------------------------------------------------------------------------------


def test_it_learns_and_writes_everything_down(run_folder, dataset):
    metrics = json.loads((run_folder / "evaluation" / "metrics.json").read_text())
    assert metrics["accuracy"] >= 0.9
    assert metrics["records"] == len(dataset.indices("test"))
    history = read_history(run_folder / "metrics.jsonl")
    assert [row["step"] for row in history if row["event"] == "step"] == list(range(1, TRAINING.steps + 1))
    assert [row["step"] for row in history if row["event"] == "validation"] == [0, 10, 20, 30, 40]
    provenance = json.loads((run_folder / "provenance.json").read_text())
    assert provenance["dataset"]["dataset_sha256"] == dataset.digest
    assert provenance["training"]["steps"] == TRAINING.steps


def test_the_model_is_the_one_with_the_lowest_validation_loss(run_folder, dataset):
    best = min((row for row in read_history(run_folder / "metrics.jsonl") if row["event"] == "validation"), key=lambda row: row["loss"])
    indices = dataset.indices("validation")
    uncalibrated = replace(load_bundle(run_folder), confidence=None)
    probabilities = split_probabilities(build_scorer(uncalibrated, PredictSettings()), dataset, indices)
    labels = dataset.label_ids[indices]
    weights = class_factors(dataset.label_ids[dataset.indices("train")], 2, TRAINING.balance_limit)[labels]
    assert calibrated_log_losses(labels, probabilities, weights).sum() == pytest.approx(best["loss"], rel=1e-6)


def test_the_test_split_is_read_once_at_the_end_and_the_same_again_from_the_folder(run_folder, dataset):
    written = json.loads((run_folder / "evaluation" / "metrics.json").read_text())
    again = evaluate(load_bundle(run_folder), dataset, seed=TRAINING.seed)
    assert again["accuracy"] == written["accuracy"]
    assert again["log_loss"] == pytest.approx(written["log_loss"], rel=1e-6)


def test_what_is_said_of_each_test_record_is_written_down(run_folder, dataset, tmp_path):
    with (run_folder / "evaluation" / "predictions.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    assert list(rows[0]) == ["id", "source", "row", "true_label", "label", "probability", "margin", "prob_poor", "prob_rich"]
    records = dataset.records.iloc[[int(row["row"]) - 1 for row in rows]]
    assert [int(row["row"]) - 1 for row in rows] == dataset.indices("test").tolist()
    for column, name in (("id", "id"), ("source", "source"), ("true_label", "label")):
        assert [row[column] for row in rows] == records[name].tolist()
    metrics = json.loads((run_folder / "evaluation" / "metrics.json").read_text())
    assert sum(row["label"] == row["true_label"] for row in rows) / len(rows) == metrics["accuracy"]

    predicted = predict(load_bundle(run_folder), (_as_record(dataset, index) for index in dataset.indices("test")), PredictSettings())
    write_predictions(predicted, dataset.classes, str(tmp_path / "p.tsv"))
    with (tmp_path / "p.tsv").open(newline="") as file:
        same = ("id", "label", "probability", "margin", "prob_poor", "prob_rich")
        assert [[row[name] for name in same] for row in csv.DictReader(file, dialect="excel-tab")] == [
            [row[name] for name in same] for row in rows
        ]


def _as_record(dataset, index):
    return SequenceRecord(dataset.records["id"].iloc[index], "", decode_bases(dataset.codes(index).tobytes()).encode(), "", 1)


def test_a_second_run_has_the_same_weights(run_folder, dataset, tmp_path):
    train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path)
    assert_same_weights(weights(tmp_path), weights(run_folder))


def test_another_seed_has_other_weights(run_folder, dataset, tmp_path):
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"seed": 1}), tmp_path)
    assert not torch.equal(weights(tmp_path)["head.2.weight"], weights(run_folder)["head.2.weight"])


# ---- killed, stopped, resumed ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [13, 27])
def test_killed_at_any_step_and_resumed_it_ends_with_the_same_weights(step, run_folder, dataset, tmp_path):
    command = (TRAIN_IN_A_PROCESS, str(dataset.folder), str(tmp_path))
    [process] = start(*command, world=1)
    log = tmp_path / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (log.exists() and log.read_text().count('"step", ') >= step):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    run_all(*command, world=1)
    assert_same_weights(weights(tmp_path), weights(run_folder))
    steps = [row["step"] for row in read_history(log) if row["event"] == "step"]
    assert steps == list(range(1, TRAINING.steps + 1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_saves_the_state_and_the_run_goes_on_from_there(number, run_folder, dataset, tmp_path, monkeypatch):
    make_step = loop._step

    def stop_after_seven(training, batch):
        if training.progress.step == 6:
            os.kill(os.getpid(), number)
        return make_step(training, batch)

    monkeypatch.setattr(loop, "_step", stop_after_seven)
    with pytest.raises(Interrupted, match="stopped after step 7 of 40, state saved"):
        train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path)
    monkeypatch.undo()
    assert last_state(tmp_path)["progress"]["step"] == 7
    train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path, resume=True)
    assert_same_weights(weights(tmp_path), weights(run_folder))


def test_a_second_ctrl_c_does_not_wait(monkeypatch, caplog):
    caplog.set_level("INFO")
    with stop_requests() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert caplog.messages == ["stopping after this update; Ctrl-C again ends at once"]


def test_a_launcher_may_pass_ctrl_c_on_once_more(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    with stop_requests() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()


def test_another_thread_than_the_main_one_may_train():
    def asked():
        with stop_requests() as requests, stopping_at_once():
            return requests()

    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asked).result() is False
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_job_in_the_background_is_not_interrupted():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_requests() as asked:
            os.kill(os.getpid(), signal.SIGINT)
            assert not asked()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("which", [1, 2, 3, 5])
def test_a_stop_signal_in_a_validation_breaks_it_off_and_it_is_made_again(which, run_folder, dataset, tmp_path, monkeypatch):
    """The first one is before the first step, the fifth after the last."""
    read, made = run._read_split, []

    def stopped_in_one(*words):
        made.append(words)
        if len(made) == which:
            os.kill(os.getpid(), signal.SIGUSR1)
        return read(*words)

    monkeypatch.setattr(run, "_read_split", stopped_in_one)
    with pytest.raises(
        Interrupted, match=f"stopped after step {10 * which - 10} of 40, state saved" if which > 1 else "before the first step"
    ):
        train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path)
    assert len(made) == which
    monkeypatch.undo()
    train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path, resume=True)
    assert_same_weights(weights(tmp_path), weights(run_folder))
    rows = [(row["step"], row["loss"]) for row in read_history(tmp_path / "metrics.jsonl") if row["event"] == "validation"]
    assert rows == [(row["step"], row["loss"]) for row in read_history(run_folder / "metrics.jsonl") if row["event"] == "validation"]


def test_a_stop_signal_that_comes_while_the_last_state_is_saved_is_heeded(dataset, tmp_path, monkeypatch):
    save = loop.save

    def signalled(training):
        save(training)
        if training.progress.step == TRAINING.steps:
            os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr(loop, "save", signalled)
    with pytest.raises(Interrupted, match="stopped after the last step, state saved"):
        train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"checkpoint_steps": 100}), tmp_path)


def test_the_time_that_a_run_took_before_it_was_resumed_counts(dataset, tmp_path):
    settings = TRAINING.model_copy(update={"steps": 4, "checks": False})
    train(dataset, TOKENIZER, MODEL, settings, tmp_path)
    state = last_state(tmp_path)
    assert 0 < state["progress"]["seconds"] < 1000
    state["progress"]["seconds"] = 1000.0
    save_checkpoint(tmp_path / "checkpoints", 4, state)
    train(dataset, TOKENIZER, MODEL, settings, tmp_path, resume=True)
    assert 1000 < json.loads((tmp_path / "provenance.json").read_text())["training"]["seconds"] < 2000


@pytest.mark.parametrize(("steps", "most", "made"), [(39, 20, 20), (40, 20, 20), (41, 20, 14), (5, 20, 5), (1, 1, 1)])
def test_validation_is_read_no_more_often_than_wanted(steps, most, made):
    def due(step, validated):
        training = SimpleNamespace(progress=Progress(step=step, validated=validated), steps=steps, validations=most, composition=None)
        return Training.validation_due.fget(training)

    assert sum(due(step, step - 1) for step in range(steps + 1)) == made
    assert due(steps, 0)
    assert not due(steps, steps)


def test_what_the_run_began_with_is_fitted_once_and_again_only_where_it_is_damaged(run_folder, dataset, tmp_path, monkeypatch):
    def stopped(*_):
        raise Interrupted("here")

    monkeypatch.setattr(run, "fit", stopped)
    with pytest.raises(Interrupted):
        train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path)
    monkeypatch.undo()
    fits = []

    def counted(*words, **named):
        fits.append(words)
        return fit_composition(*words, **named)

    monkeypatch.setattr(run, "fit_composition", counted)
    train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path, resume=True)
    assert not fits
    assert_same_weights(weights(tmp_path), weights(run_folder))
    kept = tmp_path / "checkpoints" / "composition.pt"
    kept.write_bytes(kept.read_bytes()[:-1])
    train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path, resume=True)
    assert len(fits) == 1
    assert_same_weights(weights(tmp_path), weights(run_folder))
    train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path)
    assert len(fits) == 2, "a run that does not go on begins anew"


def test_a_run_that_is_done_resumes_to_the_same_model(run_folder, dataset, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    train(dataset, TOKENIZER, MODEL, TRAINING, folder, resume=True)
    assert_same_weights(weights(folder), weights(run_folder))


def test_a_run_of_an_earlier_genomix_goes_on(run_folder, dataset, tmp_path):
    """When its network did not know yet of words shorter than a token."""

    def without(state):
        return {
            name: without(each) if isinstance(each, dict) else each for name, each in state.items() if not str(name).endswith("divisor")
        }

    folder = shutil.copytree(run_folder, tmp_path / "run")
    (folder / "checkpoints" / "step-00000040.pt").unlink()
    for path in (folder / "checkpoints").iterdir():
        state = read_checked(path)
        assert "divisor" in str(state)
        write_checked(path, without(state))
        assert "divisor" not in str(read_checked(path))
    train(dataset, TOKENIZER, MODEL, TRAINING, folder, resume=True)
    assert_same_weights(weights(folder), weights(run_folder))


def test_a_checkpoint_of_other_settings_is_refused(run_folder, dataset, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    settings = TRAINING.model_copy(update={"steps": 50})
    with pytest.raises(DataError, match=r"belongs to other data or settings: train\.steps is 50, and was 40 when it was written"):
        train(dataset, TOKENIZER, MODEL, settings, folder, resume=True)


def test_a_checkpoint_of_another_dataset_is_refused(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    with pytest.raises(DataError, match=r"belongs to other data or settings: the dataset is [0-9a-f]{64}, and was [0-9a-f]{64} when"):
        train(small_dataset(tmp_path, seed=1), TOKENIZER, MODEL, TRAINING, folder, resume=True)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002.pt", "step-00000003.pt"]
    whole = (tmp_path / "step-00000003.pt").read_bytes()
    bit = bytes([whole[500] ^ 1])
    for damaged in (whole[:100], whole[:-1], b"", whole[:500] + bit + whole[501:]):
        caplog.clear()
        (tmp_path / "step-00000003.pt").write_bytes(damaged)
        assert load_newest(tmp_path) == {"step": 2}
        assert "is damaged" in caplog.text


def test_a_run_that_began_again_keeps_its_checkpoints_and_not_the_damaged_ones(tmp_path):
    for step in (20, 30):
        save_checkpoint(tmp_path, step, {"step": step})
        (tmp_path / f"step-{step:08d}.pt").write_bytes(b"")
    for step in (5, 10):
        save_checkpoint(tmp_path, step, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000005.pt", "step-00000010.pt"]
    assert load_newest(tmp_path) == {"step": 10}


# ---- what stops a run --------------------------------------------------------------------------------------------------------------------------------


def of_letters(folder, letters):
    """Two classes of records that repeat a letter, `letters` of each class, the same lengths in both."""
    folder.mkdir()
    sources = []
    for name, letter in zip(("a", "b"), letters, strict=True):
        lengths = range(40, 60) if name == "a" else range(60, 80)
        sources.append(f"{name}={write_fasta(folder / f'{name}.fa', {f'{name}{length}': letter * length for length in lengths})}")
    cleaning = CleaningSettings(max_ambiguous=1.0)
    return preprocess(sources, PreprocessSettings(split=SplitSettings(method="stratified"), cleaning=cleaning), folder / "dataset")


def test_records_without_a_known_kmer_are_refused_and_alike_ones_start_at_random(tmp_path, caplog):
    settings = TRAINING.model_copy(update={"steps": 1})
    with pytest.raises(DataError, match="no training record has a 3-mer of A, C, G, T alone"):
        train(of_letters(tmp_path / "unknown", "NN"), TOKENIZER, MODEL, settings, tmp_path / "first")
    train(of_letters(tmp_path / "alike", "AA"), TOKENIZER, MODEL, settings, tmp_path / "second")
    assert "embedding_start is spectral, which needs two records of different k-mers: starting at random" in caplog.text


def test_records_that_will_not_be_seen_are_warned_of(dataset, tmp_path, caplog):
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 2}), tmp_path / "run")
    assert f"only about 16 of {len(dataset.indices('train'))} training records will be seen, 8 an update" in caplog.text


@pytest.mark.parametrize("fall", [-1.0, 1e-4], ids=["risen", "fallen by nothing that anybody would notice"])
def test_a_run_in_which_nothing_was_learnt_says_so(dataset, tmp_path, caplog, monkeypatch, fall):
    losses = itertools.chain([1.0], itertools.repeat(1.0 - fall))
    monkeypatch.setattr(run, "_read_split", lambda *_: Reading({"loss": next(losses), "accuracy": 0.5, "macro_f1": 0.5}))
    settings = TRAINING.model_copy(update={"steps": 3})
    result = train(dataset, TOKENIZER, MODEL.model_copy(update={"composition": True}), settings, tmp_path / "run")
    assert result.provenance["training"]["best_step"] == 0
    assert (
        "no update lowered the validation loss beyond chance: the weights kept are those that training began with, a regression on k-mer frequencies"
        in caplog.text
    )
    assert "what training began with: a logistic regression on k-mer frequencies." in (tmp_path / "run" / "model" / "README.md").read_text()


def test_a_dataset_made_anew_while_it_is_trained_on_is_not_mixed_with_the_first(dataset, tmp_path, monkeypatch):
    """The evaluation would read the second one's similarities beside the first one's records; with the first one back the run is finished."""
    folder = tmp_path / "data"
    shutil.copytree(dataset.folder, folder)
    settings, fitted = TRAINING.model_copy(update={"steps": 2}), loop.fit

    def replaced(*words):
        fitted(*words)
        info = json.loads((folder / "dataset.json").read_text())
        info["files"]["bases.npy"]["sha256"] = "0" * 64
        (folder / "dataset.json").write_text(json.dumps(info))

    monkeypatch.setattr(run, "fit", replaced)
    with pytest.raises(DataError, match="another dataset than the one that was opened") as caught:
        train(Dataset.open(folder), TOKENIZER, MODEL, settings, tmp_path / "run")
    assert "--resume finishes" in caught.value.hint
    assert not (tmp_path / "run" / "model").exists()
    monkeypatch.undo()
    shutil.copy(dataset.folder / "dataset.json", folder)
    train(Dataset.open(folder), TOKENIZER, MODEL, settings, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_no_checkpoint_goes_into_a_run_folder_that_is_no_longer_the_run_s(replaced, dataset, tmp_path, monkeypatch):
    stepped = loop._step

    def removed(training, parts):
        if training.progress.step == 1:
            shutil.rmtree(tmp_path / "run")
            if replaced:
                (tmp_path / "run").mkdir()
                (tmp_path / "run" / "metrics.jsonl").touch()
        return stepped(training, parts)

    monkeypatch.setattr(loop, "_step", removed)
    with pytest.raises(OutputError, match="removed or replaced while training wrote to it"):
        train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 4, "checkpoint_steps": 2}), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_loss_that_is_not_finite_stops_before_the_update(dataset, tmp_path, monkeypatch):
    pooled = Classifier.pooled

    def poisoned(self, *batch):
        poisoned.calls += self.training
        return pooled(self, *batch) * (math.nan if poisoned.calls == 15 else 1.0)

    poisoned.calls = 0
    monkeypatch.setattr(Classifier, "pooled", poisoned)
    with pytest.raises(SettingsError, match="step 15: the loss is nan; the update was not made"):
        train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path)
    state = last_state(tmp_path)
    assert state["progress"]["step"] == 10
    assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())


def test_scores_that_are_not_finite_stop_the_run_too(dataset, tmp_path):
    wild = TRAINING.model_copy(update={"learning_rate": 1e18, "validations": 20})
    with pytest.raises(SettingsError, match=r"step \d+: ") as caught:
        train(dataset, TOKENIZER, MODEL, wild, tmp_path)
    assert "learning_rate" in caught.value.hint


def test_a_run_that_stopped_early_stays_stopped(dataset, tmp_path, monkeypatch):
    figures = iter([0.6, 0.5, 0.4, 0.6, 0.7, 0.8, 0.3, 0.2])
    monkeypatch.setattr(loop, "_take_mean_loss", lambda _: True)
    monkeypatch.setattr("genomix.train.run._read_split", lambda *_: Reading({"loss": next(figures)}))
    settings = TRAINING.model_copy(update={"validations": 80, "patience": 3})
    train(dataset, TOKENIZER, MODEL, settings, tmp_path)
    before = weights(tmp_path)
    train(dataset, TOKENIZER, MODEL, settings, tmp_path, resume=True)
    assert last_state(tmp_path)["progress"]["step"] == 20
    assert_same_weights(weights(tmp_path), before)


def test_a_device_that_is_not_there_is_wrong_usage(dataset, tmp_path):
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    with pytest.raises(UsageError, match="no cuda device"):
        train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"device": "cuda"}), tmp_path)


def test_it_learns_in_bfloat16(dataset, tmp_path):
    result = train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"precision": "bf16"}), tmp_path)
    assert result.metrics["accuracy"] >= 0.9


def test_it_stops_when_validation_does_not_improve(dataset, tmp_path, monkeypatch):
    figures = iter([0.6, 0.5, 0.4, 0.6, 0.7, 0.8, 0.3, 0.2])
    monkeypatch.setattr(loop, "_take_mean_loss", lambda _: True)
    monkeypatch.setattr("genomix.train.run._read_split", lambda *_: Reading({"loss": next(figures)}))
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"validations": 80, "patience": 3}), tmp_path)
    progress = last_state(tmp_path)["progress"]
    assert (progress["step"], progress["best_step"], progress["best_loss"]) == (20, 8, 0.4), (
        "of forty updates every fourth is validated, at most"
    )


def test_gains_too_small_to_notice_are_kept_and_do_not_prolong_a_run(dataset, tmp_path, monkeypatch):
    figures = iter([0.5] + [0.4 - step * 1e-5 for step in range(20)])
    monkeypatch.setattr(loop, "_take_mean_loss", lambda _: True)
    monkeypatch.setattr("genomix.train.run._read_split", lambda *_: Reading({"loss": next(figures)}))
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"validations": 80, "patience": 3}), tmp_path)
    progress = last_state(tmp_path)["progress"]
    assert (progress["step"], progress["best_step"]) == (20, 20)


def test_one_low_loss_among_high_ones_is_not_taken_for_the_best(dataset, tmp_path, monkeypatch):
    figures = iter([0.6, 0.9, 0.3, 0.9, 0.5, 0.5] + [0.9] * 20)
    monkeypatch.setattr(loop, "_take_mean_loss", lambda _: True)
    monkeypatch.setattr("genomix.train.run._read_split", lambda *_: Reading({"loss": next(figures)}))
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"validations": 80, "patience": 6}), tmp_path)
    progress = last_state(tmp_path)["progress"]
    assert (progress["best_step"], progress["best_loss"], progress["best_mean"]) == (20, 0.5, 0.5)


def test_records_shorter_than_a_token_are_refused(dataset, tmp_path):
    with pytest.raises(DataError, match="a token has 12"):
        train(small_dataset(tmp_path, shortest=11, longest=40, min_length=5), TokenizerSettings(k=12), MODEL, TRAINING, tmp_path / "run")


# ---- one record, one score, on every path ------------------------------------------------------------------------------------------------------------


def test_training_path_and_prediction_path_give_the_same_scores(run_folder, dataset):
    """In float64: a record through a training batch, through evaluation's scorer, and from letters through `predict`."""
    bundle = load_bundle(run_folder)
    bundle.model.double()
    indices = dataset.indices("test")
    batches = TrainingBatches(
        dataset,
        indices,
        bundle.tokenizer,
        TRAINING.augment.model_copy(update={"substitutions": 0.0}),
        strand="forward",
        max_tokens=bundle.model.settings.max_tokens,
        token_budget=2_000,
        max_records=8,
        seed=0,
    )
    by_training = np.zeros((len(dataset), 2))
    for batch in (part for parts in batches.epoch(0) for part in parts):
        with torch.no_grad():
            by_training[list(batch.records)] = torch.softmax(bundle.model(batch.tokens, batch.lengths, batch.circular), 1).numpy()
    scorer = build_scorer(bundle, PredictSettings(max_records=3), strand="forward")
    by_evaluation = split_probabilities(scorer, dataset, indices)
    letters = [SequenceRecord("x", "", decode_bases(bytes(dataset.codes(i))).lower().encode(), "f", 1) for i in indices]
    by_prediction = [prediction.probabilities for _, prediction in predict(bundle, letters, PredictSettings(), strand="forward")]
    calibrated = at_temperature(by_training[indices], bundle.confidence.temperature)
    assert np.abs(calibrated - by_evaluation).max() < 1e-10
    assert np.abs(by_evaluation - np.array(by_prediction)).max() < 1e-10


def test_an_update_from_the_middle_of_an_epoch_is_the_update_that_was_there(dataset):
    def batches():
        return TrainingBatches(
            dataset,
            dataset.indices("train"),
            build_tokenizer(TOKENIZER),
            TRAINING.augment,
            strand="both",
            max_tokens=64,
            token_budget=500,
            max_records=8,
            seed=5,
        )

    whole, rest = ([torch.cat([part.tokens.flatten() for part in parts]) for parts in batches().epoch(3, start=start)] for start in (0, 4))
    assert len(rest) == len(whole) - 4
    assert all(torch.equal(one, other) for one, other in zip(rest, whole[4:], strict=True))
    every = [part.records for parts in batches().epoch(3) for part in parts]
    assert sorted(record for records in every for record in records) == dataset.indices("train").tolist()
    assert all(len(part.records) * part.tokens.shape[1] <= 500 for parts in batches().epoch(3) for part in parts)
    shares = [{tuple(part.records) for parts in batches().epoch(3, rank=rank, world=2) for part in parts} for rank in (0, 1)]
    assert not shares[0] & shares[1]
    assert sorted(record for share in shares for records in share for record in records) == dataset.indices("train").tolist()
    together = [sum(len(part.records) for part in parts) for rank in (0, 1) for parts in batches().epoch(3, rank=rank, world=2)]
    assert max(together) <= 4


# ---- small parts -------------------------------------------------------------------------------------------------------------------------------------


def test_the_network_is_as_long_as_the_longest_training_record_needs():
    model = ModelSettings(max_tokens=1_000_000, patch=30)
    tokenizer = TokenizerSettings(k=6)
    assert resized(model, 30 * 512, circular=True, tokenizer=tokenizer).max_tokens == 30 * 512
    assert resized(model, 30 * 512 + 1, circular=True, tokenizer=tokenizer).max_tokens == 30 * 1024
    assert resized(model, 30 * 512 + 5, circular=False, tokenizer=tokenizer).max_tokens == 30 * 512
    assert resized(model, 30 * 512 + 6, circular=False, tokenizer=tokenizer).max_tokens == 30 * 1024
    assert resized(model, 3_000_000, circular=False, tokenizer=tokenizer).max_tokens == 1_000_000
    fixed = ModelSettings(max_tokens=512, position_table=True)
    assert resized(fixed, 50, circular=False, tokenizer=tokenizer) == fixed


def test_the_number_of_steps_follows_the_data_within_bounds():
    settings = TrainSettings(epochs=10, fewest_steps=100, most_steps=1_000, most_tokens=10**6)
    assert [step_count(settings, updates, 10) for updates in (2, 50, 500)] == [100, 500, 1_000]
    assert [step_count(settings, 500, tokens) for tokens in (2_000, 50_000)] == [500, 100]
    assert step_count(TrainSettings(steps=7), 50, 10) == 7
    assert step_count(TrainSettings(most_steps=50), 500, 10) == 50


def test_an_update_has_more_records_where_they_are_many_and_short():
    def records(count, length, **changes):
        settings = TrainSettings(epochs=10, most_steps=1_000, update_tokens=10_000, **changes)
        return records_of_update(settings, np.full(count, length), 1)

    assert [records(count, 100) for count in (10, 1_600, 1_700, 5_000, 10_000, 10**6)] == [16, 16, 17, 50, 100, 100]
    assert [records(10**6, length) for length in (50, 500, 5_000)] == [200, 20, 16]
    assert records(10**6, 50, max_records=8) == 8
    assert records_of_update(TrainSettings(epochs=10, most_steps=1_000, update_tokens=10_000), np.full(10**6, 100), 2) == 200


def test_a_run_settles_how_many_records_an_update_has(tmp_path):
    dataset = small_dataset(tmp_path, records=60)
    settings = TrainSettings(epochs=20, most_steps=60, update_tokens=20 * int(dataset.lengths.mean()))
    records = dataset.indices("train")
    recipe = decide(dataset, records, TOKENIZER, MODEL, settings)
    assert recipe.training.max_records == records_of_update(settings, dataset.lengths[records], TOKENIZER.stride) > 16
    assert max(len(update) for update in plan_epoch(len(records), max_records=recipe.training.max_records, seed=0, epoch=0)) > 16


def test_motifs_are_looked_for_in_short_records_only(caplog):
    model, settings = ModelSettings(motifs=8), TrainSettings(motif_length=300)
    preset = model.model_copy()
    preset.model_fields_set.discard("motifs")  # as a preset's are
    assert fitting_motifs(model, settings, np.array([100, 500]), "both").motifs == 8
    assert fitting_motifs(preset, settings, np.array([100, 501]), "both").motifs == 0
    assert not caplog.text
    assert fitting_motifs(model, settings, np.array([100, 1_501]), "both").motifs == 0
    assert "model.motifs has no effect: the training records have 800 bases on average, and train.motif_length is 300" in caplog.text


@pytest.mark.parametrize("strand", ["both", "forward"])
def test_motifs_are_looked_for_on_the_strands_of_the_run(strand):
    def settled(asked):
        return fitting_motifs(ModelSettings(motifs=8, motif_strand=asked), TrainSettings(), np.array([100]), strand).motif_strand

    assert [settled(asked) for asked in ("auto", "both", "forward")] == [strand, "both", "forward"]


def test_validation_is_read_less_often_where_it_costs_more_than_training():
    settings = TrainSettings(validations=20)
    for steps in (200, 1_500):
        assert [validation_count(settings, steps, 1_000, tokens) for tokens in (0, 10, 70, 10**6)] == [20, 20, 14, 10]
    assert validation_count(TrainSettings(validations=1), 200, 1_000, 10**6) == 1


def test_a_short_run_is_not_spent_in_validation():
    """Updates come before a validation, and where one costs as much as all of them there are few."""
    settings = TrainSettings(validations=20)
    assert [validation_count(settings, steps, 1_000, 0) for steps in (1, 2, 5, 30, 59, 60)] == [1, 1, 1, 10, 19, 20]
    assert [validation_count(settings, steps, 1_000, 10**6) for steps in (1, 30, 60, 100, 199)] == [1, 1, 3, 5, 9]
    assert [validation_count(settings, 30, 1_000, tokens) for tokens in (50, 200, 500, 2_000)] == [10, 5, 2, 1]


def test_averaged_weights_follow_the_weights_and_count_what_cannot_be_averaged():
    network = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
    average = averaged(network, memory=4)
    average.update_parameters(network)  # the first copies
    with torch.no_grad():
        network[0].weight.fill_(0.0)
    average.module[0].weight.fill_(1.0)
    average.n_averaged.fill_(1_000)
    network[1].num_batches_tracked.fill_(7)
    average.update_parameters(network)
    assert average.module[0].weight.tolist() == [[0.75, 0.75]]
    assert average.module[1].num_batches_tracked.item() == 7
    assert average.module[1].num_batches_tracked.dtype == torch.int64
    assert not average.module.training
    assert not any(parameter.requires_grad for parameter in average.module.parameters())


def test_an_average_over_one_update_is_the_last_weights(dataset, tmp_path):
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"average": 1, "steps": 10}), tmp_path)
    state = last_state(tmp_path)
    assert all(
        torch.equal(tensor, state["model"][f"network.{name.removeprefix('module.')}"])
        for name, tensor in state["average"].items()
        if name != "n_averaged"
    )


def test_patience_begins_when_something_is_learnt():
    progress = Progress()
    training = SimpleNamespace(progress=progress, fall=0.2, floor=0.0)
    for losses, learnt in ((20.0, False), (17.0, False), (15.0, True)):
        progress.losses, progress.counted = losses, 10
        assert loop._take_mean_loss(training) is learnt
        assert (progress.losses, progress.counted) == (0.0, 0)
    assert not loop._take_mean_loss(SimpleNamespace(progress=Progress(), fall=0.2, floor=0.0))


def test_patience_begins_though_smoothed_labels_leave_a_loss():
    answers = torch.log(torch.tensor([[0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3]]))
    loss = torch.nn.functional.cross_entropy(answers, torch.tensor([1]), label_smoothing=0.1)
    assert smoothed_loss(0.1, 3) == pytest.approx(float(loss))
    assert smoothed_loss(0.0, 3) == 0
    training = SimpleNamespace(progress=Progress(losses=0.37, counted=1, first_loss=0.4), fall=0.2, floor=smoothed_loss(0.1, 3))
    assert loop._take_mean_loss(training)


def test_a_plateau_does_not_stop_a_run(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("genomix.train.run._read_split", lambda *_: Reading({"loss": 1.0}))
    monkeypatch.setattr(loop, "_take_mean_loss", lambda _: False)
    settings = TRAINING.model_copy(update={"validations": 40, "patience": 2, "steps": 8})
    train(dataset, TOKENIZER, MODEL, settings, tmp_path)
    assert last_state(tmp_path)["progress"]["step"] == 8


def test_the_learning_rate_rises_then_falls_to_zero():
    model = Classifier(MODEL, 65, 2)
    settings = TrainSettings(learning_rate=1.0, embedding_rate=0.1, warmup=0.2)
    optimizer = build_optimizer(model, settings)
    schedule = build_schedule(optimizer, 10, settings.warmup)
    rates = []
    for _ in range(10):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert [round(rate[1], 3) for rate in rates] == [0.5, 1.0, 1.0, 0.962, 0.854, 0.691, 0.5, 0.309, 0.146, 0.038]
    assert all(rate[0] == pytest.approx(rate[1] / 10) for rate in rates)
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert all((id(p) in decayed) == (p.ndim > 1 and name != "embedding.weight") for name, p in model.named_parameters())


@pytest.mark.parametrize(("records", "kmers"), [(20, 64), (100, 16)])
def test_the_spectral_start_whitens_the_records(records, kmers):
    frequencies = np.random.default_rng(0).dirichlet(np.ones(kmers), records)
    frequencies[:, 3] = 0  # a k-mer that never occurs
    scores = frequencies @ spectral_loadings(frequencies, 8)
    centred = scores - scores.mean(0)
    assert np.allclose(centred.T @ centred / records, np.eye(8), atol=1e-3)


def test_a_run_may_be_read_while_it_is_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"event": "step", "step": 1}\n{"event": "st')
    assert read_history(path) == [{"event": "step", "step": 1}]
    path.write_text('{"event": \n{"event": "step", "step": 1}\n')
    with pytest.raises(DataError, match="not a line of JSON") as caught:
        read_history(path)
    assert caught.value.where.endswith("line 1")
