"""`genomix bench predict`: what a prediction costs, and what of it is not the network.

One real run each round, read while it goes: parsing is the time in which the reader is asked for records, the network that of its calls, writing what the writer takes
beside waiting for predictions; what is left is coding, tokenising, batching and merging.
"""

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import torch

from genomix.bench.generated import write_fasta
from genomix.bench.given import require_readable_again
from genomix.bundle import Bundle, load_bundle, new_model
from genomix.devices import require_device
from genomix.formats import open_records
from genomix.predict import predict
from genomix.records import Prediction, SequenceRecord
from genomix.report.predictions import write_predictions
from genomix.scorer import PredictSettings
from genomix.settings import resolve
from genomix.settings.run import RunSettings

BAR = 0.1
"""Largest share of a run that parsing, tokenising and writing may take together."""
PARTS = ("parsing", "network", "writing", "tokenising")
_COMPARED = 10
_TOLERANCE = 1e-4

ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class _Clock:
    """Seconds spent in one place."""

    seconds: float = 0.0
    since: float = 0.0

    def start(self, *_: object) -> None:
        self.since = time.perf_counter()

    def stop(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self.since

    def watch(self, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """The items; what it takes to get each is counted."""
        iterator = iter(items)
        while True:
            self.start()
            item = next(iterator, None)
            self.stop()
            if item is None:
                return
            yield item


def bench_predict(
    sequences: Sequence[str], model: Path | None, *, preset: str, bases: int, length: int, rounds: int, device: str
) -> dict[str, Any]:
    """Compare, then time whole runs.

    Args:
        sequences: files; none generates `bases` bases in records of `length`.
        model: folder; None takes an untrained network of the preset.

    Returns:
        Figures; no more than `comparisons` where a record's prediction depends on its batch.

    Raises:
        InputMissing: no such file or model.
        UsageError: no such device, or a file that can be read only once.
        DataError: a broken one.
    """
    require_readable_again(sequences)
    device = require_device(device).type  # `auto` is none: figures are told, and stored, with what they are of
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not sequences:
            write_fasta(folder / "generated.fa", bases=bases, length=length, seed=0)
        files = sequences or [str(folder / "generated.fa")]
        bundle = load_bundle(model, device=device) if model is not None else _untrained(preset, device)
        comparison, total = _compare(bundle, files)
        figures: dict[str, Any] = {"comparisons": [comparison], "bases": total, "device": device}
        if not comparison["error"] <= comparison["tolerance"]:
            return figures
        runs = [_timed(bundle, files, folder / "predictions.tsv") for _ in range(rounds + 1)][1:]
    return figures | _figures(runs, total)


def _untrained(preset: str, device: str) -> Bundle:
    settings = resolve(RunSettings, preset=preset, environment={})
    torch.manual_seed(0)
    network = new_model(settings.model, settings.tokenizer, 2).to(device).eval()
    with torch.no_grad():  # the last layer starts at zero, where all records are alike
        for parameter in network.head.parameters():
            parameter.normal_(std=0.1)
    return Bundle(network, settings.tokenizer, ("one", "other"), "both", circular=False)


def _compare(bundle: Bundle, files: Sequence[str]) -> tuple[dict[str, Any], int]:
    """The first records' predictions among all those of a run, against each alone; and the bases of all."""
    records = list(islice(_records(files), _COMPARED * 10))
    cut = [_shortened(record, number) for number, record in enumerate(records[:_COMPARED])]
    together = [prediction for _, prediction in predict(bundle, [*cut, *records[_COMPARED:]], PredictSettings())][: len(cut)]
    alone = [next(iter(predict(bundle, [record], PredictSettings())))[1] for record in cut]
    error = max(map(_distance, together, alone), default=0.0)
    total = sum(len(record.sequence) for record in _records(files))
    return {
        "name": f"{len(cut)} records predicted among {len(records)}, against each alone",
        "error": error,
        "tolerance": _TOLERANCE,
    }, total


def _shortened(record: SequenceRecord, number: int) -> SequenceRecord:
    """Records of different lengths, so that batches are padded."""
    size = max(min(1000, len(record.sequence)), len(record.sequence) * (number + 1) // _COMPARED)
    return SequenceRecord(record.id, record.description, record.sequence[:size], record.source, record.ordinal)


def _distance(one: Prediction, other: Prediction) -> float:
    if (one.status, one.label) != (other.status, other.label):
        return float("inf")
    return max((abs(a - b) for a, b in zip(one.probabilities, other.probabilities, strict=True)), default=0.0)


def _records(files: Sequence[str]) -> Iterator[SequenceRecord]:
    return chain.from_iterable(open_records(path) for path in files)


def _timed(bundle: Bundle, files: Sequence[str], output: Path) -> dict[str, float]:
    """Seconds of one run, in all and of each part."""
    parsing, network, waiting, whole = _Clock(), _Clock(), _Clock(), _Clock()
    wait = torch.get_device_module(next(bundle.model.parameters()).device).synchronize

    def stop(*_: object) -> None:
        wait()
        network.stop()

    hooks = [bundle.model.register_forward_pre_hook(network.start), bundle.model.register_forward_hook(stop)]
    whole.start()
    predictions = waiting.watch(predict(bundle, parsing.watch(_records(files)), PredictSettings()))
    write_predictions(predictions, bundle.classes, str(output), force=True)
    whole.stop()
    for hook in hooks:
        hook.remove()
    times = {"parsing": parsing.seconds, "network": network.seconds, "writing": whole.seconds - waiting.seconds}
    return times | {"tokenising": waiting.seconds - parsing.seconds - network.seconds, "whole": whole.seconds}


def _figures(runs: Sequence[dict[str, float]], bases: int) -> dict[str, Any]:
    seconds = statistics.median(run["whole"] for run in runs)
    shares = {part: statistics.median(run[part] / run["whole"] for run in runs) for part in PARTS}
    outside = statistics.median(1 - run["network"] / run["whole"] for run in runs)
    bar = {"name": "share of a run outside the network", "value": outside, "aim": BAR, "kind": "most", "met": outside <= BAR}
    return {
        "seconds": seconds,
        "bases_per_second": bases / seconds,
        "shares": shares,
        "outside_network_share": outside,
        "bars": [bar],
        "threads": torch.get_num_threads(),
    }


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """As text."""
    yield f"{figures['bases']:,} bases on {figures['device']}: {figures['bases_per_second'] / 1e6:,.2f} M bases/s"
    shares = figures["shares"]
    yield (
        f"shares of the run: network {shares['network']:.1%}, parsing {shares['parsing']:.1%}, "
        f"coding, tokenising and batching {shares['tokenising']:.1%}, writing {shares['writing']:.1%}"
    )
    yield f"parsing, tokenising and writing together: {figures['outside_network_share']:.1%} (aim: at most {BAR:.0%})"
