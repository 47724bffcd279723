"""`genomix bench train`: what an update costs, and how much of it goes into its records.

The loop is the program's own (`genomix.train.loop.fit`); what is measured is the time from the end of one update to that of the next, and what it takes to make an
update's records: read from the dataset, changed, tokenised, collated. On a GPU a thread makes them ahead, beside the update before. The scores that the composition branch
starts from, which a real run computes once before its first update, are zeros here.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from genomix.bench.equality import difference
from genomix.bench.generated import two_classes
from genomix.bundle import new_model
from genomix.data.batches import Batch, TrainingBatches, collate, tokenize
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.data.store import Dataset
from genomix.devices import require_device
from genomix.nn.classifier import Classifier
from genomix.settings import resolve
from genomix.settings.run import RunSettings
from genomix.tokenizers import build_tokenizer
from genomix.train.devices import launch
from genomix.train.history import HISTORY_FILE, History
from genomix.train.loop import fit
from genomix.train.recipe import Recipe, decide, training_records
from genomix.train.run import assemble, training_batches
from genomix.train.update import Update

BAR = 0.05
"""Largest share of an update that its records may take, preset `tiny` on a CPU."""
_UNTIMED = 2
"""Updates before the first that counts."""
_COMPARED = 8
_TOLERANCE = 1e-4


class TimedBatches(TrainingBatches):
    """The batches of a run, with a clock."""

    loading: list[float]
    """Seconds that it took to make each update's records."""
    tokens: list[int]

    def epoch(self, epoch: int, *, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[list[Batch]]:
        if not hasattr(self, "loading"):
            self.loading, self.tokens = [], []
        parts = super().epoch(epoch, start=start, rank=rank, world=world)
        while True:
            asked = time.perf_counter()
            update = next(parts, None)
            if update is None:
                return
            self.loading.append(time.perf_counter() - asked)
            self.tokens.append(sum(int(part.lengths.sum()) for part in update))
            yield update


class _Clocked(History):
    """The log of a run, which knows when each update was done."""

    done: list[float]

    def step(self, *arguments: Any, **more: Any) -> None:
        super().step(*arguments, **more)
        self.done = [*getattr(self, "done", []), time.perf_counter()]


def bench_train(data: Path | None, *, preset: str, bases: int, length: int, steps: int, device: str) -> dict[str, Any]:
    """Compare, then time `steps` updates.

    Args:
        data: dataset folder; None generates two classes of `bases` bases, in records of `length`.

    Returns:
        Figures; no more than `comparisons` where batched and single records have different logits.

    Raises:
        DataError: the dataset can't be trained on.
        SettingsError: there is no such preset.
        UsageError: no such device.
    """
    device = require_device(device).type  # `auto` is none: figures are told, and stored, with what they are of
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = Dataset.open(data) if data is not None else generated_dataset(folder, bases=bases, length=length)
        changes = [f"train.steps={steps + _UNTIMED}", f"train.device={device}", f"train.checkpoint_steps={steps + _UNTIMED + 1}"]
        settings = resolve(RunSettings, preset=preset, assignments=changes, environment={})
        records = training_records(dataset, settings.tokenizer)
        recipe = decide(dataset, records, settings.tokenizer, settings.model, settings.train)
        torch.manual_seed(0)
        model = new_model(recipe.model, recipe.tokenizer, len(dataset.classes))
        comparison = compare(model.to(device), recipe, dataset)
        figures: dict[str, Any] = {"comparisons": [comparison], "preset": preset, "records": len(records), "device": device}
        if not comparison["error"] <= comparison["tolerance"]:
            return figures
        return figures | _figures(*_run(model, recipe, dataset, records, folder))


def generated_dataset(folder: Path, *, bases: int, length: int) -> Dataset:
    """Two classes that differ in their GC content."""
    sources = [f"{path.stem}={path}" for path in two_classes(folder, bases=bases, length=length)]
    return preprocess(sources, PreprocessSettings(split=SplitSettings(method="stratified")), folder / "dataset")


def compare(model: Classifier, recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Logits of records of several lengths in one batch, against each record's alone."""
    model = deepcopy(model).eval()
    with torch.no_grad():  # untrained, the last layers are zero, and all records alike
        for parameter in (*model.head.parameters(), *(model.composition.parameters() if model.composition else ())):
            parameter.normal_(std=0.1)
    tokenizer, rng = build_tokenizer(recipe.tokenizer), np.random.default_rng(0)
    chosen = rng.choice(len(dataset), size=min(_COMPARED, len(dataset)), replace=False)
    codes = [dataset.codes(int(record)) for record in chosen]
    shortest = [part[: max(tokenizer.k, len(part) * (number + 1) // len(codes))] for number, part in enumerate(codes)]
    tokens = [tokenize(part, tokenizer, circular=False)[: recipe.model.max_tokens] for part in shortest]

    def logits(parts: list[np.ndarray]) -> torch.Tensor:
        batch = collate(parts, [False] * len(parts), [-1] * len(parts), range(len(parts))).to(next(model.parameters()).device)
        with torch.inference_mode():
            return model(batch.tokens, batch.lengths, batch.circular)

    error = difference([logits(tokens)], [torch.cat([logits([part]) for part in tokens])])
    return {"name": f"logits of {len(tokens)} records in one batch, against each alone", "error": error, "tolerance": _TOLERANCE}


def _run(model: Classifier, recipe: Recipe, dataset: Dataset, records: np.ndarray, folder: Path) -> tuple[TimedBatches, list[float]]:
    """Train, and give the batches with their times and the moments at which updates were done."""
    settings = recipe.training
    batches = training_batches(TimedBatches, dataset, records, recipe)
    training = assemble(
        launch(settings),
        model,
        Update(model, nn.CrossEntropyLoss(reduction="sum")),
        batches,
        settings,
        folder=folder,
        origin={},
        start={},
        validation_bases=1.0,
        composition=None if model.composition is None else torch.zeros(len(dataset), len(dataset.classes)),
    )
    with _Clocked(folder / HISTORY_FILE, step=0, steps=training.steps) as history:
        fit(training, None, history)
    return batches, history.done


def _figures(batches: TimedBatches, done: list[float]) -> dict[str, Any]:
    """Of the updates from `_UNTIMED` on: the median update's seconds and share, and the tokens a second of all."""
    seconds = [end - began for began, end in pairwise(done[_UNTIMED - 1 :])]
    loading, tokens = batches.loading[_UNTIMED : len(done)], batches.tokens[_UNTIMED : len(done)]  # more may have been made ahead
    share = statistics.median(part / whole for part, whole in zip(loading, seconds, strict=True))
    return {
        "updates": len(seconds),
        "seconds_per_update": statistics.median(seconds),
        "tokens_per_second": sum(tokens) / sum(seconds),
        "loading_share": share,
        "bars": [
            {"name": "share of an update that goes into its records", "value": share, "aim": BAR, "kind": "most", "met": share <= BAR}
        ],
        "threads": torch.get_num_threads(),
    }


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """As text."""
    yield (
        f"preset {figures['preset']}, {figures['updates']} updates on {figures['device']}: {figures['seconds_per_update']:.3f} s an update, "
        f"{figures['tokens_per_second'] / 1000:,.0f} k tokens/s"
    )
    beside = "" if figures["device"] == "cpu" else ", beside the one before"
    yield f"reading, tokenising and collating: {figures['loading_share']:.1%} of an update{beside} (aim: at most {BAR:.0%} with preset tiny on a CPU)"
