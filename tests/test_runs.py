"""`genomix train` and what follows it, through the real command line: from FASTA files to a run folder, a report and predictions."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from several_processes import COMMAND, run_all, start
from small_data import random_sequence, small_dataset, two_classes, write_fasta

from genomix.cli import choices
from genomix.cli.main import main
from genomix.data.same_sources import require_same_sources
from genomix.errors import Interrupted, UsageError
from genomix.report.explanations import write_explanations
from genomix.report.predictions import write_predictions
from genomix.scorer import PredictSettings
from genomix.train.checkpoint import load_newest
from genomix.train.provenance import describe_run, write_provenance
from genomix.train.settings import TrainSettings
from genomix.train.state import save

SMALL = [
    *("--preset", "tiny", "--split", "stratified"),
    *("--set", "tokenizer.k=3", "--set", "model.embedding=16", "--set", "model.channels=8", "--set", "model.pooled=16"),
    *("--set", "model.patch=3", "--set", "train.steps=40", "--set", "train.checkpoint_steps=10", "--set", "train.validations=4"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return two_classes(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def run_folder(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", *sources, "-o", str(folder), *SMALL]) == 0
    return folder


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def test_the_run_folder_holds_what_the_documents_say(run_folder):
    assert {path.name for path in run_folder.iterdir()} == {
        *("run.toml", "dataset", "metrics.jsonl", "checkpoints", "model", "evaluation", "report.html", "provenance.json")
    }
    settings = tomllib.loads((run_folder / "run.toml").read_text())
    assert (settings["train"]["steps"], settings["tokenizer"]["k"], settings["data"]["split"]["method"]) == (40, 3, "stratified")
    metrics = json.loads((run_folder / "evaluation" / "metrics.json").read_text())
    keys = {"accuracy", "balanced_accuracy", "macro_f1", "mcc", "roc_auc", "average_precision", "log_loss", "ece", "records"}
    assert keys <= metrics.keys()
    assert set(metrics["baselines"]) == {"majority", "length", "gc", "length_gc", "kmer4", "kmer6", "nearest"}
    assert all(keys <= baseline.keys() for baseline in metrics["baselines"].values())
    assert f"{metrics['macro_f1']:.3f}" in (run_folder / "report.html").read_text()


def test_the_first_line_said_of_a_run_is_the_gain(sources, tmp_path, capsys):
    assert main(["train", *sources, "-o", str(tmp_path / "run"), *SMALL, "--set", "train.steps=2"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'run'}\n"
    said = [line for line in err.splitlines() if not line.startswith(("spectral start", "training "))]
    assert next(line for line in said if "macro-F1" in line).startswith("gain over the best baseline (")


def test_what_is_trained_predicts_and_evaluates_from_its_folder(run_folder, tmp_path, capsys):
    rng = random.Random(7)
    fasta = write_fasta(tmp_path / "new.fa", {"a": random_sequence(rng, 300, gc=0.25), "b": random_sequence(rng, 300, gc=0.75)})
    assert main(["predict", str(run_folder), str(fasta), "-o", str(tmp_path / "p.tsv")]) == 0
    with (tmp_path / "p.tsv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file, dialect="excel-tab")] == ["poor", "rich"]
    capsys.readouterr()
    assert main(["evaluate", str(run_folder), str(run_folder / "dataset"), "-o", "-"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["accuracy"] == json.loads((run_folder / "evaluation" / "metrics.json").read_text())["accuracy"]
    assert main(["evaluate", str(run_folder), str(run_folder / "dataset"), "-o", str(tmp_path / "ev")]) == 0
    assert {path.name for path in (tmp_path / "ev").iterdir()} == {"metrics.json", "predictions.tsv"}
    assert (tmp_path / "ev" / "predictions.tsv").read_bytes() == (run_folder / "evaluation" / "predictions.tsv").read_bytes()
    (tmp_path / "ev" / "metrics.json").unlink()
    assert main(["evaluate", str(run_folder), str(run_folder / "dataset"), "-o", str(tmp_path / "ev")]) == 73
    assert main(["models", "verify", str(run_folder)]) == 0
    assert main(["models", "show", str(run_folder)]) == 0
    assert "2 classes apart: `poor`, `rich`" in capsys.readouterr().out


def test_a_dataset_folder_is_for_evaluate_and_not_for_predict(run_folder, capsys):
    dataset = run_folder / "dataset"
    assert main(["predict", str(run_folder), str(dataset)]) == 66
    said = capsys.readouterr().err
    assert f"{dataset}: a dataset folder, expected sequence files\n  hint: genomix evaluate {run_folder} {dataset} -o DIR" in said


def test_a_dataset_folder_trains_to_the_same_weights_as_its_files(sources, run_folder, tmp_path):
    assert main(["preprocess", *sources, "-o", str(tmp_path / "data"), "--split", "stratified"]) == 0
    words = [word for word in SMALL if word not in {"--split", "stratified"}]
    assert main(["train", str(tmp_path / "data"), "-o", str(tmp_path / "run"), *words]) == 0
    assert not (tmp_path / "run" / "dataset").exists()
    assert all(torch.equal(tensor, weights(run_folder)[name]) for name, tensor in weights(tmp_path / "run").items())


def test_the_settings_of_a_dataset_go_into_the_run(tmp_path):
    dataset = small_dataset(tmp_path)
    command = ["train", str(dataset.folder), "-o", str(tmp_path / "run"), "--preset", "tiny", "--set", "train.steps=1", "--seed", "5"]
    assert main([*command, "--set", "train.embedding_start=random"]) == 0
    settings = tomllib.loads((tmp_path / "run" / "run.toml").read_text())
    assert (settings["data"]["split"]["method"], settings["data"]["split"]["seed"], settings["train"]["seed"]) == ("stratified", 0, 5)


def test_several_seeds_on_one_dataset(tmp_path):
    dataset = small_dataset(tmp_path)
    command = ["train", str(dataset.folder), "--preset", "tiny", "--set", "train.steps=1", "--set", "train.embedding_start=random"]
    for seed in ("1", "2"):
        assert main([*command, "-o", str(tmp_path / seed), "--seed", seed, "--strand", "forward"]) == 0
    assert not torch.equal(weights(tmp_path / "1")["embedding.weight"], weights(tmp_path / "2")["embedding.weight"])


@pytest.mark.parametrize("words", [[], "same"], ids=["with nothing repeated", "with the same command"])
def test_killed_and_resumed_by_the_command_it_ends_with_the_same_weights(words, sources, run_folder, tmp_path):
    folder = tmp_path / "run"
    command = ["train", *sources, "-o", str(folder), *SMALL]
    [process] = start(COMMAND, *command, world=1)
    log, deadline = folder / "metrics.jsonl", time.monotonic() + 300
    while not (log.exists() and log.read_text().count('"step", ') >= 14):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = command if words == "same" else ["train", "-o", str(folder)]
    run_all(COMMAND, *again, "--resume", world=1)
    assert all(torch.equal(tensor, weights(run_folder)[name]) for name, tensor in weights(folder).items())


def test_two_processes_stop_at_the_same_step_and_write_one_run(sources, tmp_path):
    folder = tmp_path / "run"
    genomix = Path(sys.executable).with_name(
        "genomix"
    )  # the second process is started by the words of the first, so `python -c` will not do
    # Patience of one validation: each process could come to its own conclusion, and the one that goes on would wait for the other for ever.
    chosen = ["--devices", "2", "--set", "train.validations=40", "--set", "train.patience=1"]
    command = [genomix, "train", *sources, "-o", folder, *SMALL, *chosen]
    done = subprocess.run(command, check=False, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert b"deprecated" not in done.stderr
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in log if row["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert len(done.stdout.splitlines()) == 1
    assert main(["models", "verify", str(folder)]) == 0


def test_a_signal_after_the_last_step_ends_the_run_and_it_goes_on(sources, tmp_path, monkeypatch, capsys):
    """Outside the loop nothing waits for the end of a step."""
    folder = tmp_path / "run"
    monkeypatch.setattr("genomix.train.run.evaluate", lambda *_, **__: os.kill(os.getpid(), signal.SIGUSR1))
    assert main(["train", *sources, "-o", str(folder), *SMALL]) == 75
    assert "stopped by SIGUSR1\n  hint: the same command with --resume goes on" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["train", *sources, "-o", str(folder), *SMALL, "--resume"]) == 0
    assert (folder / "model").is_dir()


def test_ctrl_c_says_how_to_go_on_and_so_does_the_next_try(sources, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    words = ["train", *sources, "-o", str(folder), *SMALL]

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("genomix.runs.preprocess", interrupt)
    assert main(words) == 130
    assert capsys.readouterr().err == "genomix: interrupted\n", "there is no run yet to go on with"
    monkeypatch.undo()
    monkeypatch.setattr("genomix.train.run.evaluate", interrupt)
    assert main(words) == 130
    assert "genomix: interrupted\n  hint: the same command with --resume goes on from the last checkpoint\n" in capsys.readouterr().err
    assert main(words) == 73
    expected = (
        f"genomix: {folder}: the output folder exists: a run in it has not ended\n  hint: --resume goes on with it; --force starts over"
    )
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_terminated_run_says_how_to_go_on(number, sources, tmp_path):
    folder = tmp_path / "run"
    [process] = start(COMMAND, "train", *sources, "-o", str(folder), *SMALL, "--set", "train.steps=100000", world=1)
    deadline = time.monotonic() + 300
    while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 75
    assert "state saved\n  hint: the same command with --resume goes on" in err
    assert list((folder / "checkpoints").iterdir())


def test_a_resumed_run_with_another_setting_is_refused_by_name(run_folder, capsys):
    assert main(["train", "-o", str(run_folder), "--resume", "--set", "train.clip=2.0"]) == 78
    assert "train.clip is 2.0, and the run was begun with 1.0" in capsys.readouterr().err


def test_a_resumed_run_may_compute_its_updates_in_another_way(sources, run_folder, tmp_path, monkeypatch):
    """The last ten updates are made in small parts, their activations computed again: the same weights, but for rounding."""
    folder = tmp_path / "run"

    def stopped(training):
        save(training)
        if training.progress.step == 30:
            raise Interrupted("stopped")

    monkeypatch.setattr("genomix.train.loop.save", stopped)
    assert main(["train", *sources, "-o", str(folder), *SMALL]) == 75
    monkeypatch.undo()
    changed = ["--set", "train.recompute=always", "--set", "train.token_budget=500"]
    assert main(["train", "-o", str(folder), "--resume", *changed]) == 0
    memory = load_newest(folder / "checkpoints")["memory"]
    assert (memory["recompute"], memory["token_budget"]) == (True, 500)
    for name, tensor in weights(run_folder).items():
        assert torch.allclose(weights(folder)[name].double(), tensor.double(), atol=1e-3), name


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--preset", "tinny"], 78, "did you mean tiny"),
        (["--set", "train.lerning_rate=1"], 78, "did you mean learning_rate"),
        (["--set", "train.learning_rate=-1"], 78, "train.learning_rate should be greater than 0"),
        (["--set", "tokenizer.k=13"], 78, "tokenizer.k"),
        (["--device", "tpu"], 2, "tpu"),
    ],
)
def test_a_wrong_setting_is_one_line_and_leaves_no_folder(words, code, said, sources, tmp_path, capsys):
    assert main(["train", *sources, "-o", str(tmp_path / "run"), *words]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_exists_is_kept_unless_it_is_a_run_and_force_is_on(sources, run_folder, tmp_path, capsys):
    assert main(["train", *sources, "-o", str(run_folder), *SMALL]) == 73
    assert "--force replaces it" in capsys.readouterr().err
    (tmp_path / "thesis.docx").touch()
    assert main(["train", *sources, "-o", str(tmp_path), "--force", *SMALL]) == 73
    assert "--force replaces only a folder that genomix made" in capsys.readouterr().err
    assert (tmp_path / "thesis.docx").exists()


def test_a_resumed_run_with_other_files_is_refused(sources, run_folder, capsys):
    swapped = [f"rich={sources[0].partition('=')[2]}", *sources[1:]]
    assert main(["train", *swapped, "-o", str(run_folder), *SMALL, "--resume"]) == 2
    assert "the run was not begun with" in capsys.readouterr().err
    assert main(["train", *sources, "-o", str(run_folder), *SMALL, "--resume", "--force"]) == 2


def test_a_run_is_resumed_with_the_same_files_only_however_their_paths_are_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sources = [source.replace(f"{tmp_path}/", "") for source in two_classes(tmp_path)]
    assert main(["train", *sources, "-o", "run", *SMALL, "--set", "train.steps=2"]) == 0
    again = ["-o", "run", *SMALL, "--set", "train.steps=2", "--resume"]
    assert main(["train", *(source.replace("=", "=./") for source in sources), *again]) == 0
    assert main(["train", *(source.replace("=", f"={tmp_path}/") for source in sources), *again]) == 0
    capsys.readouterr()

    first, last = (source.partition("=")[2] for source in (sources[0], sources[-1]))
    assert main(["train", *sources[:-1], *again]) == 2
    assert f"the run was begun with {last} too, which is not given now" in capsys.readouterr().err
    path, was = Path(first), Path(first).read_bytes()
    for content in (was + b">more\nACGTACGT\n", was[:-2] + was[-2:].translate(bytes.maketrans(b"ACGT", b"CATG"))):
        path.write_bytes(content)
        assert main(["train", *sources, *again]) == 2
        assert f"the content of {first} is not what the run was begun with" in capsys.readouterr().err
    assert main(["train", *again]) == 0, "the dataset is there: nobody need name its files"
    path.write_bytes(was)
    assert main(["train", *sources, *again]) == 0


@pytest.fixture
def stopped_at_once(monkeypatch):
    """Runs end with 75 where their first update would be made."""

    def stop(dataset, _tokenizer, _model, _settings, folder, **_):
        write_provenance(folder, describe_run(dataset))
        raise Interrupted("stopped before the first step")

    monkeypatch.setattr("genomix.runs.train", stop)


def table_and_sequences(folder):
    """A FASTA file and a label table that knows all of its records but ten; one is too short."""
    rng = random.Random(1)
    names = [f"r{i}" for i in range(40)]
    sequences = {name: random_sequence(rng, 120, gc=0.3 + 0.4 * (i % 2)) for i, name in enumerate(names)}
    write_fasta(folder / "all.fa", sequences | {"short": "ACGT"})
    (folder / "labels.tsv").write_text(
        "id\tlabel\n" + "".join(f"{name}\t{'xy'[i % 2]}\n" for i, name in enumerate(names[:30])) + "short\tx\n"
    )
    return [str(folder / "all.fa"), "--labels", str(folder / "labels.tsv")]


def test_a_label_table_that_is_gone_is_missed_only_where_it_would_be_read(stopped_at_once, tmp_path, capsys):
    words, small = table_and_sequences(tmp_path), [*SMALL[:2], *SMALL[4:]]
    of_files, dataset, of_dataset, again = (str(tmp_path / name) for name in ("files", "dataset", "run", "again"))
    assert main(["train", *words, "-o", of_files, *SMALL]) == 75
    assert main(["preprocess", *words, "-o", dataset, "--split", "stratified"]) == 0
    (tmp_path / "labels.tsv").rename(tmp_path / "elsewhere.tsv")
    assert main(["train", dataset, "-o", of_dataset, *small]) == 75
    for command in (
        ["-o", of_files, "--resume"],
        ["-o", of_dataset, "--resume"],
        [dataset, "-o", of_dataset, "--resume"],
        [dataset, "-o", again, "--config", f"{of_dataset}/run.toml"],
    ):
        assert main(["train", *command]) == 75, capsys.readouterr().err
    for command in (["-o", of_files, "--resume"], ["-o", str(tmp_path / "new"), *SMALL]):
        assert main(["train", *words, *command]) == 66
        assert "labels.tsv: no such file" in capsys.readouterr().err


def test_a_run_says_once_which_records_of_its_files_are_left_out(stopped_at_once, tmp_path, capsys):
    words = table_and_sequences(tmp_path)
    dataset, expected = tmp_path / "run" / "dataset", "left out: 10 no_label, 1 too_short (each with its reason in dataset/rejected.tsv)\n"
    assert main(["train", *words, "-o", str(tmp_path / "run"), *SMALL]) == 75
    assert capsys.readouterr().err.startswith(expected)
    assert (dataset / "rejected.tsv").read_text().count("\n") == 12
    for command in (["-o", str(tmp_path / "run"), "--resume"], [str(dataset), "-o", str(tmp_path / "other"), *SMALL[:2], *SMALL[4:]]):
        assert main(["train", *command]) == 75
        assert "left out" not in capsys.readouterr().err


def test_what_can_be_read_once_is_not_compared_when_a_run_is_resumed(tmp_path):
    recorded = [
        {"path": "-", "label": "a", "bytes": None, "sha256": None},
        {"path": str(tmp_path / "gone.fa"), "label": "b", "bytes": 1, "sha256": "0"},
    ]
    require_same_sources([("-", "a")], recorded)
    with pytest.raises(UsageError, match="begun with - too"):
        require_same_sources([(str(tmp_path / "gone.fa"), "b")], recorded)


def test_a_run_that_was_begun_with_a_dataset_is_not_resumed_with_files_or_another_dataset(sources, run_folder, tmp_path, capsys):
    dataset = run_folder / "dataset"
    assert main(["train", str(dataset), "-o", str(tmp_path / "run"), *SMALL, "--set", "train.steps=3"]) == 0
    again = ["-o", str(tmp_path / "run"), *SMALL, "--set", "train.steps=3", "--resume"]
    assert main(["train", *sources, *again]) == 2
    assert f"the run was begun with a dataset folder, {dataset}, and not with" in capsys.readouterr().err
    other = small_dataset(tmp_path / "other", seed=9)
    assert main(["train", str(other.folder), "-o", str(run_folder), *SMALL, "--resume"]) == 2
    assert "other records than those of" in capsys.readouterr().err
    assert main(["train", str(dataset), "-o", str(run_folder), *SMALL, "--resume"]) == 0


def test_a_run_of_a_dataset_is_resumed_with_the_options_that_it_was_begun_with(stopped_at_once, tmp_path, capsys):
    dataset, run = small_dataset(tmp_path), ["-o", str(tmp_path / "run")]
    options = ["--seed", "5", "--strand", "forward"]
    assert main(["train", str(dataset.folder), *run, *SMALL[:2], *options]) == 75
    for command in ([*run, *options], [*run, *options[:2]], [str(dataset.folder), *run, "--config", f"{run[1]}/run.toml", *options]):
        assert main(["train", *command, "--resume"]) == 75, capsys.readouterr().err
    assert main(["train", *run, "--seed", "6", "--resume"]) == 78
    assert "train.seed is 6, and the run was begun with 5" in capsys.readouterr().err


def test_a_run_is_not_resumed_with_a_dataset_of_other_records(stopped_at_once, tmp_path, capsys):
    """There is no checkpoint yet that would say so; the dataset itself may have been moved."""
    dataset, run = small_dataset(tmp_path).folder, tmp_path / "run"
    assert main(["train", str(dataset), "-o", str(run), *SMALL[:2]]) == 75
    again = ["-o", str(run), *SMALL[:2], "--resume"]
    other = small_dataset(tmp_path / "other", seed=9).folder
    assert main(["train", str(other), *again]) == 2
    assert f"the run was begun with other records than those of {other}" in capsys.readouterr().err
    moved = dataset.rename(tmp_path / "moved")
    assert main(["train", str(moved), *again]) == 75


def test_a_run_is_not_replaced_by_one_that_starts_from_it(sources, run_folder, capsys):
    for init in (run_folder, run_folder / "model"):
        assert main(["train", *sources, "-o", str(run_folder), *SMALL, "--init", str(init), "--force"]) == 73
        assert "would be overwritten" in capsys.readouterr().err
    assert (run_folder / "model" / "model.json").exists()


def test_outputs_never_land_on_inputs(run_folder, tmp_path, capsys):
    fasta = write_fasta(tmp_path / "mine.fasta", {"a": "ACGT" * 20})
    for words in (["-o", str(fasta)], ["--split-fasta", str(tmp_path)]):
        assert main(["predict", str(run_folder), str(fasta), *words, "--force"]) == 73
    other = write_fasta(tmp_path / "elsewhere.fa", {"a": "ACGT" * 20})
    (tmp_path / "folder").mkdir()
    write_fasta(tmp_path / "folder" / "precious.fasta", {"a": "A"})
    assert main(["predict", str(run_folder), str(other), "-o", "-", "--split-fasta", str(tmp_path / "folder"), "--force"]) == 73
    assert main(["preprocess", f"x={fasta}", "-o", str(tmp_path), "--force"]) == 73
    assert main(["train", f"x={fasta}", f"y={other}", "-o", str(tmp_path), "--force"]) == 73
    assert capsys.readouterr().err.count("would be overwritten") == 4
    assert fasta.exists()
    assert (tmp_path / "folder" / "precious.fasta").exists()


def test_data_without_labels_leave_no_run_folder(tmp_path, capsys):
    write_fasta(tmp_path / "a.fa", {"a": "ACGT" * 20})
    assert main(["train", str(tmp_path / "a.fa"), "-o", str(tmp_path / "run")]) == 65
    assert "no labelled records to train on" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_bad_data_leaves_no_run_folder(tmp_path, capsys):
    write_fasta(tmp_path / "a.fa", {"a": "MENLNMDLLYM"})
    assert main(["train", f"x={tmp_path / 'a.fa'}", "-o", str(tmp_path / "run")]) == 65
    assert "protein FASTA?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_earlier_run_survives_bad_data_and_force(run_folder, tmp_path, capsys):
    write_fasta(tmp_path / "a.fa", {"a": "MENLNMDLLYM"})
    before = weights(run_folder)
    assert main(["train", f"x={tmp_path / 'a.fa'}", "-o", str(run_folder), "--force"]) == 65
    assert main(["train", str(run_folder / "dataset"), "-o", str(run_folder), "--force"]) == 73
    assert "would be overwritten" in capsys.readouterr().err
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(run_folder).items())


def test_data_options_are_not_ignored_beside_a_dataset_folder(tmp_path, capsys):
    dataset = small_dataset(tmp_path)
    assert main(["train", str(dataset.folder), "-o", str(tmp_path / "run"), "--circular", *SMALL]) == 2
    assert "was preprocessed with data.circular False, not True" in capsys.readouterr().err


def test_what_a_dataset_is_not_may_not_be_asked_for_though_it_is_usual(stopped_at_once, tmp_path, capsys, monkeypatch):
    dataset = str(small_dataset(tmp_path, min_length=70).folder)
    said = "was preprocessed with data.cleaning.min_length 70, not 20"
    for words in (["--min-length", "20"], ["--set", "data.cleaning.min_length=20"]):
        assert main(["train", dataset, "-o", str(tmp_path / "run"), *SMALL[:2], *words]) == 2
        assert said in capsys.readouterr().err
    monkeypatch.setenv("GENOMIX_DATA_CLEANING_MIN_LENGTH", "20")
    assert main(["train", dataset, "-o", str(tmp_path / "run"), *SMALL[:2]]) == 2
    assert said in capsys.readouterr().err


def test_the_settings_of_a_run_on_a_usual_dataset_train_on_another(stopped_at_once, tmp_path, capsys):
    """A run.toml says everything: what it says beside others is no wish."""
    dataset, usual = small_dataset(tmp_path, min_length=70).folder, small_dataset(tmp_path / "usual").folder
    assert main(["train", str(usual), "-o", str(tmp_path / "first"), *SMALL[:2]]) == 75
    again = ["--config", str(tmp_path / "first" / "run.toml"), "--min-length", "70", "--seed", "3", "--set", "data.circular=none"]
    assert main(["train", str(dataset), "-o", str(tmp_path / "second"), *again]) == 75, capsys.readouterr().err
    settings = tomllib.loads((tmp_path / "second" / "run.toml").read_text())
    assert (settings["data"]["cleaning"]["min_length"], settings["train"]["seed"]) == (70, 3)


def test_what_a_dataset_is_may_be_asked_for(tmp_path):
    assert main(["preprocess", *two_classes(tmp_path), "-o", str(tmp_path / "d")]) == 0
    options = ["--split", "cluster", *SMALL[4:], "--set", "train.steps=2"]
    assert main(["train", str(tmp_path / "d"), "-o", str(tmp_path / "run"), "--preset", "tiny", *options]) == 0


def test_no_data_at_all_is_wrong_usage(tmp_path, capsys):
    assert main(["train", "-o", str(tmp_path / "run")]) == 2
    assert "genomix: " in capsys.readouterr().err


def test_a_demo_that_is_stopped_says_what_goes_on_with_it(tmp_path, monkeypatch, capsys):
    def stop(*_, **__):
        raise Interrupted("stopped after step 3 of 9, state saved", hint="the same command with --resume goes on")

    def interrupt(*_, **__):
        raise KeyboardInterrupt("interrupted\n  hint: the same command with --resume goes on from the last checkpoint")

    for ended, code in ((stop, 75), (interrupt, 130)):
        monkeypatch.setattr("genomix.demo.run", ended)
        assert main(["demo", "-o", str(tmp_path / "my demo")]) == code
        assert f"genomix train -o '{tmp_path / 'my demo'}' --resume goes on" in capsys.readouterr().err


def test_the_demo_ends_as_the_readme_says(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 0
    assert {"model", "evaluation", "predictions.tsv"} <= {path.name for path in (tmp_path / "demo").iterdir()}
    metrics = json.loads((tmp_path / "demo" / "evaluation" / "metrics.json").read_text())
    assert metrics["accuracy"] >= 0.98
    with (tmp_path / "demo" / "predictions.tsv").open(newline="") as file:
        assert len(list(csv.DictReader(file, dialect="excel-tab"))) == metrics["records"] == 160
    assert "genomix predict my-run/model new.fasta" in capsys.readouterr().err


def test_words_of_options_and_of_settings_are_the_same():
    def literal(model, field):
        return set(model.model_fields[field].annotation.__args__)

    assert {*choices.Device} == literal(TrainSettings, "device")
    assert {*choices.Precision} == literal(TrainSettings, "precision")
    assert {*choices.Strand, "auto"} == literal(TrainSettings, "strand")
    assert {*choices.Form} == set(write_predictions.__annotations__["form"].__args__)
    assert {*choices.Track} == set(write_explanations.__annotations__["form"].__args__)
    assert PredictSettings().threshold == 0
