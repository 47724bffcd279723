"""`genomix bench preprocess`: sequence files to a dataset, plain and gzip, or as the user gives them.

What the dataset holds is compared with what the files hold, base for base. Each timed run is `genomix preprocess` as a user has it, in a process of its own; megabytes are those of the files as text.
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
from genomix.bench.given import require_readable_again
from genomix.bench.tables import columns, in_bytes
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.source_files import split_source
from genomix.data.store import Dataset
from genomix.errors import UsageError
from genomix.formats import open_records
from genomix.formats.opening import open_bytes
from genomix.records import encode_bases

Pairs = Sequence[tuple[str, Path]]
"""Class and file; a class may have several."""

_COMPARED = 200
_READ = 1 << 20


def bench_preprocess(sources: Sequence[str], *, megabytes: int, length: int, rounds: int) -> dict[str, Any]:
    """Make datasets, compare, and time.

    Args:
        sources: NAME=file pairs, taken as they are; none generates two classes of `megabytes` in all, in records of `length` bases, plain and gzip.

    Returns:
        Figures, those of each form of the files under its name; no more than `comparisons` where a dataset holds something else than its files.

    Raises:
        UsageError: a source is no pair, or can be read only once.
        InputMissing: no such file.
        DataError: a broken one.
    """
    given = _pairs(sources)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forms = {"as given": given} if given else _generated(folder, bases=megabytes * 1_000_000 * 80 // 81, length=length)
        figures: dict[str, Any] = {"comparisons": [], "record_length": None if given else length}
        runs: dict[str, list[dict[str, float]]] = {form: [] for form in forms}
        for form, files in forms.items():
            dataset = preprocess(_words(files), PreprocessSettings(), folder / form)
            figures["comparisons"].append(_compare(files, dataset, form))
        if any(each["error"] > each["tolerance"] for each in figures["comparisons"]):
            return figures
        for _ in range(rounds):
            for form, files in forms.items():
                runs[form].append(_run(files, folder / form))
        return figures | {form: _figures(files, runs[form], rounds) for form, files in forms.items()}


def _pairs(sources: Sequence[str]) -> Pairs:
    pairs = []
    for source in sources:
        label, path = split_source(source)
        if label is None:
            raise UsageError(f"expected NAME=file, found {source!r}")
        pairs.append((label, Path(path)))
    require_readable_again(str(path) for _, path in pairs)
    return pairs


def _generated(folder: Path, *, bases: int, length: int) -> dict[str, Pairs]:
    plain = [(path.stem, path) for path in two_classes(folder, bases=bases, length=length)]
    return {"plain": plain, "gzip": [(label, compressed(path)) for label, path in plain]}


def _words(files: Pairs) -> list[str]:
    return [f"{label}={path}" for label, path in files]


def _run(files: Pairs, dataset: Path) -> dict[str, float]:
    """Seconds and peak bytes of one `genomix preprocess`."""
    words = ["--quiet", "preprocess", *_words(files), "-o", str(dataset), "--force"]
    started = time.perf_counter()
    found = measured("command", tuned=False, words=words)
    return {"seconds": time.perf_counter() - started, "peak_bytes": found["peak_bytes"]}


def _compare(files: Pairs, dataset: Dataset, form: str) -> dict[str, Any]:
    """How many of a sample of records are not, base for base, what the files hold."""
    place = {identifier: number for number, identifier in enumerate(dataset.records["id"])}
    sampled = set(random.Random(0).sample(sorted(place), min(_COMPARED, len(place))))
    differing = set(sampled)
    for _, path in files:
        for record in open_records(str(path)):
            if record.id in differing and dataset.codes(place[record.id]).tobytes() == encode_bases(record.sequence):
                differing.discard(record.id)
    return {"name": f"{form}: records of {len(sampled)} that are not what was written", "error": float(len(differing)), "tolerance": 0.0}


def _figures(files: Pairs, runs: Sequence[dict[str, float]], rounds: int) -> dict[str, Any]:
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


def _decompression(files: Pairs, rounds: int) -> tuple[float, int]:
    """Median seconds to read the files' text, opened as the program opens them, and its bytes."""
    seconds, size = [], 0
    for _ in range(rounds):
        started, size = time.perf_counter(), 0
        for _, path in files:
            with open_bytes(str(path)) as stream:
                while block := stream.read(_READ):
                    size += len(block)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), size


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """As text."""
    rows = [["genomix preprocess", "MB", "MB/s", "slowest to fastest", "times reading alone", "peak memory"]]
    for form in ("plain", "gzip", "as given"):
        if form in figures:
            found = figures[form]
            speeds = found["megabytes_per_second"]
            times = f"{found['times_decompression']:.2f}"
            spread = f"{speeds[0]:.0f} to {speeds[-1]:.0f}"
            rows.append([form, f"{found['bytes'] / 1e6:.0f}", f"{found['median']:.0f}", spread, times, in_bytes(found["peak_bytes"])])
    yield from columns(rows)
