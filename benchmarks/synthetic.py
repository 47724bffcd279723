"""The two synthetic tasks of the Paramixer paper, for several mixers of equal width in one and the same network and recipe.

    adding   positions hold a number, uniform in [-1, 1], and a mark that two of them carry; to be told: 0.5 + (the two marked numbers' sum) / 4.
             Error: the part of sequences whose answer is off by 0.04 or more (Hochreiter & Schmidhuber, 1997).
    order    letters drawn from four, and at two positions an X or a Y; to be told which of XX, XY, YX, YY. Error: the part told wrong.

The two positions lie anywhere, as in the paper's code (arXiv 2204.10670). Training sequences are drawn anew for every step and never seen twice, and so are
the 2,000 of each evaluation. Training stops when one evaluation passes the bar and a second, on other sequences, confirms it; or at the step limit; or at
the time limit. The figure reported is the last evaluation's.

Results are added to one file as they come, so that several processes can share the table; a row with the same task, length, model, readout and seed is
replaced. With --plot nothing is trained: the file is drawn as error against length.
"""

import argparse
import fcntl
import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from surroundings import commit, machine, versions, with_tuned_allocator
from synthetic_plot import draw
from torch import Tensor
from torch.nn import functional as F

from genomix.nn.blocks import BlockSettings
from genomix.nn.mixers import MixerSettings
from genomix.nn.regressor import Regressor, RegressorSettings

RESULTS = Path(__file__).parent / "results" / "synthetic.json"
BAR = 0.01
TOLERANCE = 0.04
WIDTH, BATCH, STEPS, EVALUATED = 32, 40, 4000, 2000
RATE, WARMUP, CLIP = 3e-3, 100, 1.0

MODELS = {
    "paramixer-cdil": MixerSettings(links=3),
    "paramixer-chord": MixerSettings(protocol="chord"),
    "static-cdil": MixerSettings(weights="static", links=3),
    "static-chord": MixerSettings(weights="static", protocol="chord"),
    "attention": MixerSettings(kind="attention"),
    "convolution": MixerSettings(kind="convolution", links=3),
    "rotation": MixerSettings(kind="rotation", hidden=WIDTH),
    "none": MixerSettings(kind="none"),
}


def two_positions(generator: torch.Generator, count: int, length: int) -> tuple[Tensor, Tensor]:
    """Two different positions for each of `count` sequences, the earlier one first."""
    one = torch.randint(length, (count,), generator=generator)
    other = (one + torch.randint(1, length, (count,), generator=generator)) % length
    return torch.minimum(one, other), torch.maximum(one, other)


def adding(generator: torch.Generator, count: int, length: int) -> tuple[Tensor, Tensor]:
    """Signals [count, 2, length] and answers [count]."""
    numbers = torch.rand(count, length, generator=generator) * 2 - 1
    first, second = two_positions(generator, count, length)
    rows = torch.arange(count)
    marks = torch.zeros(count, length)
    marks[rows, first] = marks[rows, second] = 1
    return torch.stack([numbers, marks], dim=1), 0.5 + (numbers[rows, first] + numbers[rows, second]) / 4


def order(generator: torch.Generator, count: int, length: int) -> tuple[Tensor, Tensor]:
    """One-hot letters [count, 6, length], of which the last two are X and Y, and classes XX, XY, YX, YY as 0 to 3, [count]."""
    letters = torch.randint(4, (count, length), generator=generator)
    first, second = two_positions(generator, count, length)
    rows, classes = torch.arange(count), torch.randint(4, (count,), generator=generator)
    letters[rows, first], letters[rows, second] = 4 + classes // 2, 4 + classes % 2
    return F.one_hot(letters, 6).transpose(1, 2).float(), classes


def adding_loss(outputs: Tensor, answers: Tensor) -> Tensor:
    """Mean squared difference, in units of 0.1."""
    return F.mse_loss(outputs[:, 0] * 10, answers * 10)


def adding_wrong(outputs: Tensor, answers: Tensor) -> Tensor:
    return (outputs[:, 0] - answers).abs() >= TOLERANCE


def order_wrong(outputs: Tensor, answers: Tensor) -> Tensor:
    return outputs.argmax(1) != answers


TASKS = {
    "adding": (adding, adding_loss, adding_wrong, 2, 1),
    "order": (order, F.cross_entropy, order_wrong, 6, 4),
}
"""Generator, loss, what counts as an error, inputs a position, outputs."""


def network(task: str, model: str, length: int, readout: str) -> Regressor:
    block = BlockSettings(mixer=MODELS[model], norm=False, feed_forward=2 * WIDTH)
    settings = RegressorSettings(max_length=length, channels=WIDTH, block=block, readout=readout, pooled=2 * WIDTH)
    return Regressor(settings, *TASKS[task][3:])


def answer(net: Regressor, signals: Tensor) -> Tensor:
    count, _, length = signals.shape
    return net(signals, torch.full((count,), length), torch.zeros(count, dtype=torch.bool))


@torch.inference_mode()
def evaluate(net: Regressor, task: str, length: int, seed: int) -> float:
    """The error on `EVALUATED` sequences that nothing else has seen."""
    generate, _, wrong, *_ = TASKS[task]
    generator = torch.Generator().manual_seed(seed)
    parts = [generate(generator, BATCH, length) for _ in range(EVALUATED // BATCH)]
    return sum(int(wrong(answer(net, signals), answers).sum()) for signals, answers in parts) / EVALUATED


def rate_factor(step: int) -> float:
    """Linear warm-up, cosine to zero at the step limit."""
    return min((step + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * step / STEPS)))


def train(task: str, model: str, length: int, asked: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    generate, loss_of, *_ = TASKS[task]
    torch.manual_seed(asked.seed)
    net = network(task, model, length, asked.readout)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor)
    generator = torch.Generator().manual_seed(2 * asked.seed)
    fresh = 2 * asked.seed + 1  # evaluation seeds are odd from here on, training's is even
    started, used = time.monotonic(), time.process_time()
    history: list[tuple[int, float]] = []
    ended = "step limit"
    for step in range(1, STEPS + 1):
        signals, answers = generate(generator, BATCH, length)
        loss = loss_of(answer(net, signals), answers)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        out_of_time = time.monotonic() - started > 60 * asked.minutes
        if step % asked.every == 0 or step == STEPS or out_of_time:
            fresh += 1_000_000
            history.append((step, evaluate(net, task, length, fresh)))
            print(f"{task} N={length} {model} ({asked.readout}), step {step}: error {history[-1][1]:.4f}", flush=True)
            if history[-1][1] <= BAR:
                history.append((step, evaluate(net, task, length, fresh + 500_000)))
                if history[-1][1] <= BAR:
                    ended = "bar passed"
                    break
        if out_of_time:
            ended = "stopped by time"
            break
    return {
        "task": task, "length": length, "model": model, "readout": asked.readout, "seed": asked.seed,
        "error": history[-1][1], "lowest_error": min(error for _, error in history), "steps": step, "ended": ended,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "wall_minutes": (time.monotonic() - started) / 60, "processor_seconds": time.process_time() - used,
        "time_limit_minutes": asked.minutes, "evaluations": history,
    }  # fmt: skip


def add(path: Path, row: dict[str, Any]) -> None:
    """Put a row into the file, under a lock, with what it was measured on."""
    row |= {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(), "threads": torch.get_num_threads(), "versions": versions(), "commit": commit(),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        rows = json.loads(file.read() or "[]")
        rows = [other for other in rows if key(other) != key(row)] + [row]
        file.truncate(0)
        file.write("[\n" + ",\n".join(json.dumps(each) for each in sorted(rows, key=key)) + "\n]\n")


def key(row: dict[str, Any]) -> tuple:
    return row["task"], row["readout"], row["length"], row["model"], row["seed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--lengths", nargs="+", type=int, default=[128, 512, 2048])
    parser.add_argument(
        "--readout", choices=["mean", "first"], default="mean", help="what the answer is read from (see genomix/nn/regressor.py)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30, help="time limit of each training")
    parser.add_argument("--every", type=int, default=100, help="steps between two evaluations")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=RESULTS, help="file to add the rows to")
    parser.add_argument("--plot", action="store_true", help="draw the file's rows beside it, and train nothing")
    asked = parser.parse_args()
    with_tuned_allocator()
    torch.set_num_threads(asked.threads)
    if asked.plot:
        draw(json.loads(asked.json.read_text()), asked.json.with_suffix(".svg"), BAR)
        return
    for length in asked.lengths:
        for task in asked.tasks:
            for model in asked.models:
                row = train(task, model, length, asked)
                add(asked.json, row)
                print(f"{task} N={length} {model}: error {row['error']:.4f} after {row['steps']} steps, {row['ended']}", flush=True)


if __name__ == "__main__":
    main()
