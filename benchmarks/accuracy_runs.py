"""Preprocess, train and predict with the command line, as a user would; what each run gave is kept in the work folder."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import surroundings
from accuracy_sets import CHECKOUT, Places, Run

import genomix
from genomix.bundle import load_bundle
from genomix.data.store import Dataset
from genomix.formats import open_records
from genomix.metrics import headline

SPLITS = ("validation", "test")
RESULT, FAILURE, PROBABILITIES = "result.json", "failed.json", "probabilities.npz"

_CRASH = 1
"""Exit code of an error that is not the user's, running out of memory among them; those above 1 say that the call was wrong, which is no result."""


def require_checkout() -> None:
    """Stop where another genomix than this checkout's would be measured: the commit that is written down would be wrong."""
    if Path(genomix.__file__).resolve().parent.parent != CHECKOUT:
        sys.exit(f"{genomix.__file__} would be measured, not {CHECKOUT}: install the checkout, or set PYTHONPATH={CHECKOUT}")


@contextmanager
def claimed(path: Path, *, wait: bool = False) -> Iterator[int | None]:
    """A lock that ends with the process: its descriptor, or None where another process has it and `wait` is off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
        else:
            yield lock.fileno()


def prepared(places: Places, name: str, options: tuple[str, ...]) -> Dataset:
    """The set's dataset folder, made where there is none, and beside it the FASTA of its validation and test records."""
    folder = places.dataset(name)
    with claimed(folder.with_suffix(".lock"), wait=True):
        if not (folder / "dataset.json").exists():
            split = ("--labels", str(places.labels(name)), "--split", "column")
            command = _genomix("preprocess", str(places.sequences(name)), *split, *options, "-o", str(folder), "--force")
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        dataset = Dataset.open(folder)
        if not places.held_out(name).exists():
            _write_held_out(places, name, dataset)
    return dataset


def carry_out(places: Places, run: Run, dataset: Dataset, *, threads: int, limit: float, retry: bool) -> str:
    """Train and predict unless it is done, was tried, or another process is at it. Returns a line that says what happened."""
    folder = places.run(run)
    with claimed(folder / "lock") as lock:
        if lock is None:
            return "another process is at it"
        if (folder / RESULT).exists():
            return "done before"
        if (folder / FAILURE).exists() and not retry:
            return "failed before (--retry tries again): " + json.loads((folder / FAILURE).read_text())["message"]
        begun = _surroundings(run, threads)
        command = _genomix("train", str(dataset.folder), "-o", str(folder / "run"), *run.arguments, "--force")
        training = _timed(command, folder / "train.log", threads, limit, lock)
        if training["exit_code"]:
            return _failed(folder, begun | {"command": command} | training)
        _predict(places.held_out(run.set), folder, threads, limit, lock)
        _keep(folder, dataset, begun | {"command": command} | training)
        return "done"


def _genomix(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("genomix")), *arguments]


def _timed(command: list[str], log: Path, threads: int, limit: float, lock: int) -> dict[str, Any]:
    """Run a command: `exit_code`, `wall_s` and `peak_memory_mb`. It holds the lock too, so that it is not started twice if this process dies."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    started = time.monotonic()
    with log.open("w") as talk:
        process = subprocess.Popen(command, stdout=talk, stderr=talk, env=environment, pass_fds=(lock,))
    timer = threading.Timer(limit, process.kill)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)  # Popen.wait does not tell the memory
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    return {"exit_code": process.returncode, "wall_s": round(seconds, 1), "peak_memory_mb": round(usage.ru_maxrss / 1024)}


def _predict(records: Path, folder: Path, threads: int, limit: float, lock: int) -> None:
    command = _genomix("predict", str(folder / "run" / "model"), str(records), "--format", "jsonl")
    log = folder / "predict.log"
    if _timed([*command, "-o", str(folder / "predictions.jsonl"), "--force"], log, threads, limit, lock)["exit_code"]:
        raise SystemExit(f"{folder}: predict failed\n{log.read_text()}")


def _failed(folder: Path, run: dict[str, Any]) -> str:
    """Write down a run that crashed or took too long; a call that was wrong is only told."""
    code = run["exit_code"]
    message = f"killed by signal {-code} after {run['wall_s']:.0f} s" if code < 0 else _last_error(folder / "train.log")
    if code <= _CRASH:
        _write(folder / FAILURE, run | {"message": message})
    return f"FAILED with {code}: {message}"


def _last_error(log: Path) -> str:
    lines = log.read_text().strip().splitlines() or ["no message"]
    return next((line for line in reversed(lines) if not line.lstrip().startswith("hint:")), lines[-1])


def _keep(folder: Path, dataset: Dataset, run: dict[str, Any]) -> None:
    """Probabilities and result of a finished run; its checkpoints are of no more use."""
    tables = _probabilities(folder / "predictions.jsonl", dataset)
    np.savez_compressed(folder / PROBABILITIES, classes=np.array(dataset.classes), **tables)
    provenance = json.loads((folder / "run" / "provenance.json").read_text())
    train = dataset.indices("train")
    result = run | {
        "training_s": provenance["training"]["seconds"],
        **{name: provenance["training"][name] for name in ("steps", "best_step", "device")},
        "parameters": sum(each.numel() for each in load_bundle(folder / "run" / "model").model.parameters()),
        "train_records": len(train),
        "train_bases": int(dataset.lengths[train].sum()),
        "dataset_sha256": dataset.digest,
        **{split: headline(dataset.label_ids[dataset.indices(split)], tables[split]) for split in SPLITS},
    }
    shutil.rmtree(folder / "run" / "checkpoints", ignore_errors=True)
    (folder / FAILURE).unlink(missing_ok=True)
    _write(folder / RESULT, result)


def _probabilities(predictions: Path, dataset: Dataset) -> dict[str, np.ndarray]:
    """Each split's probabilities [record, class], in the order of `dataset.indices`."""
    with predictions.open(encoding="utf-8") as lines:
        rows = {row["id"]: row["probabilities"] for row in map(json.loads, lines)}
    ids = dataset.records["id"].to_numpy()
    tables = {split: [[rows[name][each] for each in dataset.classes] for name in ids[dataset.indices(split)]] for split in SPLITS}
    if len(rows) != sum(map(len, tables.values())):
        raise SystemExit(f"{predictions}: {len(rows)} predictions for {sum(map(len, tables.values()))} records")
    return {split: np.array(table) for split, table in tables.items()}


def _write_held_out(places: Places, name: str, dataset: Dataset) -> None:
    wanted = set(dataset.records["id"].to_numpy()[np.concatenate([dataset.indices(split) for split in SPLITS])])
    path = places.held_out(name)
    with path.with_suffix(".part").open("wb") as file:
        for record in open_records(str(places.sequences(name))):
            if record.id in wanted:
                file.write(b">" + record.id.encode() + b"\n" + record.sequence + b"\n")
    path.with_suffix(".part").replace(path)


def _surroundings(run: Run, threads: int) -> dict[str, Any]:
    return {
        "set": run.set,
        "variant": run.name,
        "seed": run.seed,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": surroundings.commit(),
        "versions": surroundings.versions(),
        "machine": surroundings.machine(),
        "threads": threads,
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.with_suffix(".part").write_text(json.dumps(content, indent=2) + "\n")
    path.with_suffix(".part").replace(path)
