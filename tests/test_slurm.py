"""The shipped SLURM scripts in a real SLURM, which `tests/slurm/start.sh` starts: skipped where SLURM_CONF names none that answers."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_data import small_dataset

from genomix.cli.main import main
from genomix.train.history import read_history

PIPELINES = Path(__file__).parent.parent / "pipelines" / "slurm"
STEPS = 60
SMALL = (
    *("--preset", "tiny", "--set", f"train.steps={STEPS}", "--set", "train.checkpoint_steps=5", "--set", "train.validations=2"),
    *("--set", "train.checks=false", "--set", "model.channels=8", "--set", "train.max_records=8"),
)
ONE_NODE = ("--nodes=1", "--gpus-per-node=0", "--cpus-per-task=1")

pytestmark = pytest.mark.slurm


def answers() -> bool:
    if "SLURM_CONF" not in os.environ or shutil.which("sinfo") is None:
        return False
    return subprocess.run(["sinfo"], capture_output=True, check=False, timeout=30).returncode == 0


@pytest.fixture(scope="module", autouse=True)
def _slurm():
    if not answers():
        pytest.skip("no SLURM answers here: export SLURM_CONF=$(tests/slurm/start.sh)")


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """`genomix` and `torchrun` of this Python, on PATH as an environment's activation would put them."""
    folder = tmp_path_factory.mktemp("bin")
    for name, code in (
        ("genomix", "from genomix.cli.main import run; run()"),
        ("torchrun", "from torch.distributed.run import main; main()"),
    ):
        script = folder / name
        script.write_text(f"#!{sys.executable}\n{code}\n")
        script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def surroundings(programs):
    paths = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(PIPELINES.parent.parent)}
    return os.environ | paths | {"PROCESSES_PER_NODE": "2", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data")).folder


def submit(surroundings, script, *words, log, options=ONE_NODE):
    command = ["sbatch", "--parsable", f"--output={log}", *options, str(PIPELINES / script), *map(str, words)]
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True).stdout.strip()


def state_of(job):
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=False).stdout
    return [word.partition("=")[2] for word in shown.split() if word.startswith("JobState=")]


def wait_for(condition, log, *, seconds=280.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text() if log.exists() else "nothing was written"
        time.sleep(0.1)


def steps(folder):
    return [row["step"] for row in read_history(folder / "metrics.jsonl") if row["event"] == "step"]


def said(log, words):
    return log.read_text().count(words) if log.exists() else 0


def assert_same_weights(*runs):
    one, other = (load_file(folder / "model" / "model.safetensors") for folder in runs)
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def ended(job):
    return set(state_of(job)) <= {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}


@pytest.fixture(scope="module")
def undisturbed(surroundings, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    job = submit(surroundings, "train.sbatch", dataset, folder / "run", *SMALL, log=folder / "log")
    wait_for(lambda: ended(job), folder / "log")
    assert state_of(job) == ["COMPLETED"], (folder / "log").read_text()
    return folder / "run"


def test_tasks_of_srun_train_as_the_processes_of_torchrun_do(undisturbed, surroundings, dataset, tmp_path):
    command = ["srun", "--ntasks=2", "--cpus-per-task=1", "genomix", "train", str(dataset), "-o", str(tmp_path / "run"), *SMALL]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    assert_same_weights(undisturbed, tmp_path / "run")
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert provenance["training"]["processes"] == 2


def requeue(job):
    subprocess.run(["scontrol", "requeue", job], check=True)


def warn(job):
    """What SLURM does by --signal before the time is up."""
    subprocess.run(["scancel", "--batch", "--signal=USR1", job], check=True)


def test_a_job_that_is_requeued_and_then_warned_ends_with_the_same_weights(undisturbed, surroundings, dataset, tmp_path):
    log, folder = tmp_path / "log", tmp_path / "run"
    job = submit(surroundings, "train.sbatch", dataset, folder, *SMALL, log=log)
    for times, disturb in enumerate((requeue, warn), start=1):
        wait_for(lambda times=times: len(steps(folder)) >= 12 * times and said(log, "resuming after step") == times - 1, log)
        disturb(job)
    wait_for(lambda: ended(job), log)
    assert state_of(job) == ["COMPLETED"], log.read_text()
    assert said(log, "resuming after step") == 2, log.read_text()
    assert_same_weights(undisturbed, folder)
    assert steps(folder) == list(range(1, STEPS + 1))


def test_an_array_of_jobs_predicts_what_one_process_does(undisturbed, surroundings, dataset, tmp_path):
    sequences = dataset.parent / "poor.fa"
    alone, shared = tmp_path / "alone.tsv", tmp_path / "shared.tsv"
    assert main(["predict", str(undisturbed), str(sequences), "-o", str(alone)]) == 0
    options = ("--array=1-2", "--gpus=0", "--cpus-per-task=1")
    job = submit(surroundings, "predict_array.sbatch", undisturbed, shared, sequences, log=tmp_path / "log", options=options)
    wait_for(lambda: ended(job), tmp_path / "log")
    assert shared.read_bytes() == alone.read_bytes(), (tmp_path / "log").read_text()
