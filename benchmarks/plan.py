"""`genomix plan` against what `genomix train` and `genomix predict` take: peak memory of the processes, for three presets at three lengths each.

Training makes two updates of one record each, seen whole, and then all that training does at its end; prediction reads six records, strand by strand. The
peaks are those that the system reports of the finished processes. A plan is off by planned / measured - 1.
"""

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from surroundings import arguments, write

LENGTHS = {
    "tiny": (60_000, 120_000, 240_000),
    "base": (100_000, 400_000, 1_000_000),
    "long": (400_000, 1_500_000, 4_600_000),
}
RECORDS = 6
"""Of each of the two classes."""


def genomix(*words: str) -> tuple[int, float]:
    """Peak bytes and seconds of one command line."""
    started = time.perf_counter()
    command = [sys.executable, "-c", "from genomix.cli.main import run; run()", "--quiet", *words]
    _, status, usage = os.wait4(os.posix_spawn(sys.executable, command, os.environ, file_actions=SILENT), 0)
    if status:
        raise SystemExit(f"genomix {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024, time.perf_counter() - started


SILENT = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


def make_dataset(folder: Path, length: int) -> Path:
    rng = random.Random(length)
    for name, weights in (("poor", (3, 2, 2, 3)), ("rich", (2, 3, 3, 2))):
        records = ("".join(rng.choices("ACGT", weights, k=length)) for _ in range(RECORDS))
        (folder / f"{name}.fa").write_text("".join(f">{name}{i}\n{record}\n" for i, record in enumerate(records)))
    sources = [f"{name}={folder / name}.fa" for name in ("poor", "rich")]
    genomix("preprocess", *sources, "-o", str(folder / "dataset"), "--split", "stratified")
    return folder / "dataset"


def measure(preset: str, length: int, recompute: str, folder: Path) -> tuple[int, int]:
    """Peak bytes of training and of prediction."""
    dataset, run = folder / "dataset", folder / "run"
    if not dataset.exists():
        make_dataset(folder, length)
    settings = {"max_records": 1, "steps": 2, "augment.whole": length, "checks": "false", "recompute": recompute}
    assigned = [word for name, value in settings.items() for word in ("--set", f"train.{name}={value}")]
    training, _ = genomix("train", str(dataset), "-o", str(run), "--force", "--preset", preset, "--device", "cpu", *assigned)
    one_by_one = ("--set", "predict.max_records=1")
    prediction, _ = genomix("predict", str(run / "model"), str(folder / "rich.fa"), "-o", os.devnull, "--device", "cpu", *one_by_one)
    return training, prediction


def planned(preset: str, lengths: tuple[int, ...], folder: Path) -> list[dict]:
    path = folder / f"{preset}.json"
    genomix("plan", "--preset", preset, "--lengths", ",".join(map(str, lengths)), "--device", "cpu", "--json", str(path))
    return json.loads(path.read_text())["rows"]


def compare(preset: str, lengths: tuple[int, ...], folder: Path) -> list[dict]:
    found = []
    for row in planned(preset, lengths, folder):
        place = folder / str(row["bases"])
        place.mkdir(exist_ok=True)
        training, prediction = measure(preset, row["bases"], "never", place)
        recomputed, _ = measure(preset, row["bases"], "always", place)
        for way, peak in (("training", training), ("recomputed", recomputed), ("prediction", prediction)):
            plan = row[way]["memory"]
            found.append({"preset": preset, "bases": row["bases"], "way": way, "planned": plan, "measured": peak, "off": plan / peak - 1})
            print(
                f"{preset:>5} {row['bases']:>10,} {way:<11} {plan / 2**20:>7.0f} MiB planned {peak / 2**20:>7.0f} measured {plan / peak - 1:>+7.1%}",
                flush=True,
            )
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--presets", nargs="+", default=list(LENGTHS), choices=list(LENGTHS))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for preset in asked.presets for row in compare(preset, LENGTHS[preset], Path(folder))]
    write(asked.json, {"threads": os.environ.get("OMP_NUM_THREADS"), "largest": max(abs(row["off"]) for row in rows), "rows": rows})


if __name__ == "__main__":
    main()
