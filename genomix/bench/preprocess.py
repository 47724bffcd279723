"""`genomix bench preprocess`: sequence files to a dataset, plain and gzip. What the dataset holds is compared with what the files hold, base for base.

Each timed run is `genomix preprocess` as a user has it, in a process of its own; megabytes are those of the files as text.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from genomix.bench.children import measured
from genomix.bench.generated import compressed, two_classes
from genomix.bench.tables import columns, in_bytes
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.store import Dataset
from genomix.errors import UsageError
from genomix.formats import open_records
from genomix.formats.opening import open_bytes
from genomix.records import encode_bases

_COMPARED = 200
_READ = 1 << 20


def bench_preprocess(sources: Sequence[str], *, megabytes: int, length: int, rounds: int) -> dict[str, Any]:
    """Make datasets of plain and of gzip files, compare, and time.

    Args:
        sources: NAME=file pairs; none generates two classes of `megabytes` in all, in records of `length` bases.

    Returns:
        Figures; no more than `comparisons` where a dataset holds something else than its files.

    Raises:
        UsageError: a source is no pair.
        InputMissing: no such file.
        DataError: a broken one.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = _pairs(sources) or {path.stem: path for path in two_classes(folder, bases=megabytes * 1_000_000 * 80 // 81, length=length)}
        forms = {"plain": plain} if sources else {"plain": plain, "gzip": {key: compressed(path) for key, path in plain.items()}}
        figures: dict[str, Any] = {"comparisons": [], "record_length": None if sources else length}
        runs: dict[str, list[dict[str, float]]] = {form: [] for form in forms}
        for form, files in forms.items():
            dataset = preprocess([f"{name}={path}" for name, path in files.items()], PreprocessSettings(), folder / form)
            figures["comparisons"].append(_compare(files, dataset, form))
        if any(each["error"] > each["tolerance"] for each in figures["comparisons"]):
            return figures
        for _ in range(rounds):
            for form, files in forms.items():
                runs[form].append(_run(files, folder / form))
        return figures | {form: _figures(files, runs[form], rounds) for form, files in forms.items()}


def _pairs(sources: Sequence[str]) -> dict[str, Path]:
    wrong = [source for source in sources if "=" not in source]
    if wrong:
        raise UsageError(f"expected NAME=file, found {wrong[0]!r}")
    return {name: Path(path) for name, _, path in (source.partition("=") for source in sources)}


def _run(files: dict[str, Path], dataset: Path) -> dict[str, float]:
    """Seconds and peak bytes of one `genomix preprocess`."""
    words = ["--quiet", "preprocess", *(f"{name}={path}" for name, path in files.items()), "-o", str(dataset), "--force"]
    started = time.perf_counter()
    found = measured("command", tuned=False, words=words)
    return {"seconds": time.perf_counter() - started, "peak_bytes": found["peak_bytes"]}


def _compare(files: dict[str, Path], dataset: Dataset, form: str) -> dict[str, Any]:
    """How many of a sample of records are not, base for base, what the files hold."""
    place = {identifier: number for number, identifier in enumerate(dataset.records["id"])}
    sampled = set(random.Random(0).sample(sorted(place), min(_COMPARED, len(place))))
    differing = set(sampled)
    for path in files.values():
        for record in open_records(str(path)):
            if record.id in differing and dataset.codes(place[record.id]).tobytes() == encode_bases(record.sequence):
                differing.discard(record.id)
    return {"name": f"{form}: records of {len(sampled)} that are not what was written", "error": float(len(differing)), "tolerance": 0.0}


def _figures(files: dict[str, Path], runs: Sequence[dict[str, float]], rounds: int) -> dict[str, Any]:
    alone, size = _decompression(files, rounds)
    speeds = sorted(size / 1e6 / run["seconds"] for run in runs)
    seconds = statistics.median(run["seconds"] for run in runs)
    return {
        "bytes": size,
        "megabytes_per_second": speeds,
        "median": size / 1e6 / seconds,
        "decompression_seconds": alone,
        "times_decompression": seconds / alone,
        "peak_bytes": max(run["peak_bytes"] for run in runs),
    }


def _decompression(files: dict[str, Path], rounds: int) -> tuple[float, int]:
    """Median seconds to read the files' text, opened as the program opens them, and its bytes."""
    seconds, size = [], 0
    for _ in range(rounds):
        started, size = time.perf_counter(), 0
        for path in files.values():
            with open_bytes(str(path)) as stream:
                while block := stream.read(_READ):
                    size += len(block)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), size


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """As text."""
    rows = [["genomix preprocess", "MB", "MB/s", "slowest to fastest", "times reading alone", "peak memory"]]
    for form in ("plain", "gzip"):
        if form in figures:
            found = figures[form]
            speeds = found["megabytes_per_second"]
            times = f"{found['times_decompression']:.2f}"
            spread = f"{speeds[0]:.0f} to {speeds[-1]:.0f}"
            rows.append([form, f"{found['bytes'] / 1e6:.0f}", f"{found['median']:.0f}", spread, times, in_bytes(found["peak_bytes"])])
    yield from columns(rows)
