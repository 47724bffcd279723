"""`genomix preprocess` on generated FASTA: what is in the dataset is compared with what was written, then MB/s and peak memory are printed."""

import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from surroundings import arguments, write

from genomix.data.store import Dataset
from genomix.records import encode_bases

LINE = 80


def generate(path: Path, megabytes: int, length: int, seed: int) -> int:
    """Random records of `length` bases; returns the bytes written."""
    rng = np.random.default_rng(seed)
    letters = np.frombuffer(b"ACGT", np.uint8)
    with path.open("wb") as file:
        number = 0
        while file.tell() < megabytes * 1_000_000:
            sequence = letters[rng.integers(0, 4, length)].tobytes()
            lines = (sequence[start : start + LINE] for start in range(0, length, LINE))
            file.write(b">%s_%d generated\n" % (path.stem.encode(), number) + b"\n".join(lines) + b"\n")
            number += 1
        return file.tell()


def require_same(dataset: Dataset, sources: list[Path]) -> None:
    """A sample of records must be, base for base, what the files hold."""
    place = {identifier: number for number, identifier in enumerate(dataset.records["id"])}
    sampled = set(random.Random(0).sample(sorted(place), 200))
    for path in sources:
        for block in path.read_bytes()[1:].split(b"\n>"):
            header, _, sequence = block.partition(b"\n")
            identifier = header.split()[0].decode()
            if identifier in sampled:
                codes = dataset.codes(place[identifier]).tobytes()
                if codes != encode_bases(sequence.replace(b"\n", b"")):
                    raise SystemExit(f"record {identifier} is not what was written: no speed is worth printing")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--length", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [folder / "one.fa", folder / "two.fa"]
        size = sum(generate(path, asked.megabytes // 2, asked.length, seed) for seed, path in enumerate(sources))
        command = [sys.executable, "-c", "from genomix.cli.main import run; run()", "--quiet", "preprocess"]
        command += [f"{path.stem}={path}" for path in sources] + ["-o", str(folder / "dataset"), "--force"]
        seconds = []
        for _ in range(asked.rounds):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - started)
        require_same(Dataset.open(folder / "dataset"), sources)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    speeds = sorted(size / 1e6 / each for each in seconds)
    figures = {
        "bytes": size,
        "megabytes_per_second": speeds,
        "median": speeds[len(speeds) // 2],
        "peak_bytes": peak,
        "record_length": asked.length,
    }
    print(
        f"{size / 1e6:.0f} MB of FASTA, near-duplicate split: {figures['median']:.0f} MB/s ({speeds[0]:.0f} to {speeds[-1]:.0f}), peak {peak / 1e6:.0f} MB"
    )
    write(asked.json, figures)


if __name__ == "__main__":
    main()
