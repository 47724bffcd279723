"""Kills training and prediction at random moments, starts them again, and looks at what comes out.

    python benchmarks/kills.py --kills 50 --work DIR [--seed 0] [--strategy fsdp]

Two processes (gloo, this machine's CPU) train or predict. At a random moment of their time one of them, or both, get SIGKILL; they are started again, and
killed again, until they come to their end. (They are forked from this process, which has the libraries loaded, so that the time is spent in genomix.) Then the weights, and the predictions, must be those of an undisturbed run, to the last byte. After every kill each
file that is there under its final name must be whole. Prints a line a kill and a summary; ends with 1 where anything was wrong.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import genomix.runs
import genomix.shards  # noqa: F401 - loaded here, so that what is forked has it
from genomix.bundle import load_bundle
from genomix.cli.main import main as genomix_main
from genomix.data.store import Dataset
from genomix.train.checkpoint import load_newest

FORKING = multiprocessing.get_context("fork")
SMALL = [
    *("--preset", "tiny", "--set", "tokenizer.k=3", "--set", "model.embedding=16", "--set", "model.channels=8", "--set", "model.pooled=16"),
    *("--set", "model.patch=3", "--set", "train.steps=40", "--set", "train.checkpoint_steps=3", "--set", "train.validations=6"),
    *("--set", "train.max_records=8", "--set", "train.checks=false"),
]
PARTS = ["--set", "predict.token_budget=300"]
PATIENCE = 600
LAUNCHER_WAITS = 10


class WrongError(Exception):
    """What was found is not what an undisturbed run leaves."""


def require(truth, what):
    if not truth:
        raise WrongError(what)


def write_sequences(folder, rng):
    """Two classes to train on, and records to predict."""
    for name, weights, count in (("poor", (3, 2, 2, 3), 30), ("rich", (2, 3, 3, 2), 30), ("new", (1, 1, 1, 1), 400)):
        records = ("".join(rng.choices("ACGT", weights, k=rng.randint(60, 1_500))) for _ in range(count))
        (folder / f"{name}.fa").write_text("".join(f">{name}{i}\n{sequence}\n" for i, sequence in enumerate(records)))


def start(words, world=2):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    told = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "GROUP_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    told |= {"TORCHELASTIC_RUN_ID": "kills"}
    processes = []
    for rank in range(world):
        environment = {name: str(value) for name, value in (told | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        processes.append(FORKING.Process(target=run, args=(environment, [str(word) for word in words])))
        processes[-1].start()
    return processes


def run(environment, words):
    """The command in a process of its own, silent."""
    os.environ.update(environment)
    with tempfile.TemporaryFile() as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        code = genomix_main(words)
        sys.stdout.flush()
        sys.stderr.flush()
        if code == 0:
            os._exit(0)
        out.seek(0)
        SAID.joinpath(f"{os.getpid()}.log").write_bytes(out.read())
        os._exit(code)


SAID = Path(tempfile.mkdtemp(prefix="kills-"))
"""What processes that ended badly said."""


def finish(processes):
    for process in processes:
        process.join(PATIENCE)
    codes = [process.exitcode for process in processes]
    require(codes == [0] * len(codes), f"undisturbed processes ended with {codes}: see {SAID}")


def kill_at(processes, delay, victims):
    """Kill these, then what does not end by itself, as a launcher does; False where they had come to their end before.

    A process that is still waiting for another to appear can't notice that it was killed.
    """
    deadline = time.monotonic() + delay
    while time.monotonic() < deadline and all(process.exitcode is None for process in processes):
        time.sleep(0.005)
    alive = all(process.exitcode is None for process in processes)
    for victim in victims:
        processes[victim].kill()
    deadline = time.monotonic() + LAUNCHER_WAITS
    while time.monotonic() < deadline and any(process.exitcode is None for process in processes):
        time.sleep(0.05)
    for process in processes:
        process.kill()
        process.join(PATIENCE)
    return alive


def check_training(folder):
    """Whatever is there under its final name is whole."""
    if (folder / "checkpoints").exists():
        for path in (folder / "checkpoints").glob("step-*.pt"):
            alone = Path(tempfile.mkdtemp(dir=folder.parent))
            shutil.copy(path, alone / path.name)
            require(load_newest(alone) is not None, f"{path.name} is damaged")
            shutil.rmtree(alone)
    if (folder / "model").exists():
        load_bundle(folder)
    if (folder / "dataset").exists():
        Dataset.open(folder / "dataset")
    for name in ("evaluation/metrics.json", "provenance.json"):
        if (folder / name).exists():
            json.loads((folder / name).read_text())


def train_words(work, folder, strategy):
    chosen = ["--split", "stratified", "--resume", *SMALL, "--set", f"train.strategy={strategy}"]
    return ["train", f"poor={work / 'poor.fa'}", f"rich={work / 'rich.fa'}", "-o", folder, *chosen]


def weights(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


def predict_words(work, model, output):
    return ["predict", model, work / "new.fa", "-o", output, *PARTS]


def timed(words):
    began = time.monotonic()
    finish(start(words))
    return time.monotonic() - began


def campaign(kills, words, duration, *, check, compare, victims, rng, label):
    """So many kills, in runs that each end undisturbed; `words`, `check` and `compare` take the number of the run."""
    done, number = 0, 0
    while done < kills:
        for attempt in range(min(rng.randint(1, 4), kills - done)):
            delay, chosen, began = rng.uniform(0, duration), victims(rng), time.monotonic()
            hit = kill_at(start(words(number)), delay, chosen)
            check(number)
            done += hit
            print(f"{label} {done}/{kills}: run {number}, {'killed' if hit else 'had ended'} after {delay:.2f} s", flush=True)
            if not hit:
                if attempt == 0:  # it had all to do
                    duration = time.monotonic() - began  # a machine with other work is not always as fast
                break
        finish(start(words(number)))
        check(number)
        compare(number)
        number += 1
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strategy", choices=["ddp", "fsdp"], default="ddp")
    given = parser.parse_args()
    rng, work = random.Random(given.seed), given.work.resolve()
    work.mkdir(parents=True)
    write_sequences(work, rng)
    training = timed(train_words(work, work / "undisturbed", given.strategy))
    model, wanted = work / "undisturbed", weights(work / "undisturbed")
    predicting = timed(predict_words(work, model, work / "undisturbed.tsv"))
    rows = (work / "undisturbed.tsv").read_bytes()
    require(len(list(csv.reader(rows.decode().splitlines()))) == 401, "the undisturbed predictions are not 400 rows")
    print(f"undisturbed: training {training:.1f} s, prediction {predicting:.1f} s", flush=True)

    def same_weights(run):
        require(weights(work / f"{kind}-{run}") == wanted, f"the weights of run {run} differ")

    def same_rows(run):
        require((work / f"predictions-{run}.tsv").read_bytes() == rows, f"the predictions of run {run} differ")

    def nothing_partial(run):
        output = work / f"predictions-{run}.tsv"
        require(not output.exists() or output.read_bytes() == rows, f"{output.name} is partial")

    third = given.kills // 3
    counts = {"one of two": third, "both": third}
    runs = 0
    for kind, victims in (("one of two", lambda rng: [rng.randrange(2)]), ("both", lambda _: [0, 1])):
        runs += campaign(
            counts[kind],
            lambda run: train_words(work, work / f"{kind}-{run}", given.strategy),  # noqa: B023 - called before the loop goes on
            training,
            check=lambda run: check_training(work / f"{kind}-{run}"),  # noqa: B023 - as above
            compare=same_weights,
            victims=victims,
            rng=rng,
            label=f"training, {kind}",
        )
    runs += campaign(
        given.kills - 2 * third,
        lambda run: predict_words(work, model, work / f"predictions-{run}.tsv"),
        predicting,
        check=nothing_partial,
        compare=same_rows,
        victims=lambda rng: rng.choice([[0], [1], [0, 1]]),
        rng=rng,
        label="prediction",
    )
    print(f"{given.kills} kills in {runs} runs: every run ended as the undisturbed one, no file was wrong or partial")


if __name__ == "__main__":
    try:
        main()
    except WrongError as error:
        sys.exit(f"WRONG: {error}")
