"""A whole pretraining run: a network learns to guess hidden spans of unlabelled records, and its body is kept for `train --init`.

The order is training's (`run.py`), and so is the loop. What differs: batches have hidden words in place of labels, the head guesses words, validation reads
records that were held out with the same bases hidden each time, and the loss is set beside what guessing by composition alone comes to.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from genomix.data.augment import AugmentSettings
from genomix.data.batches import Batch
from genomix.data.masking import MaskingSettings
from genomix.data.store import Dataset
from genomix.nn.classifier import ModelSettings
from genomix.nn.reconstruction import Reconstructor
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train.body import read_body, require_fitting, save_body, start_body
from genomix.train.choice import Reading
from genomix.train.devices import launch, processes_of
from genomix.train.guessing import Guesses, guess, word_frequencies
from genomix.train.history import HISTORY_FILE, History
from genomix.train.loop import fit
from genomix.train.masked import MaskedBatches, MaskedUpdate
from genomix.train.memory import read_in_fitting_parts
from genomix.train.provenance import begin_provenance, describe_run, training_summary, write_provenance
from genomix.train.recipe import Recipe, decide, require_tokens
from genomix.train.run import assemble
from genomix.train.settings import TrainSettings
from genomix.train.state import Training, resume_from_checkpoint

_log = logging.getLogger(__name__)

_ANY_LENGTH = 2**62
_LEARNT = 0.01
"""Of the loss, which begins near what composition tells: there is no more than a little to gain on top of that."""

Division = tuple[np.ndarray, np.ndarray]
"""Records to learn from, and records held out: int64 arrays."""


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """What pretraining ends with, in nats a hidden word; None where no record was held out.

    Attributes:
        word: bases of a word.
        loss: on the held-out records, of the weights that were kept.
        overall: of guessing the composition of all training records.
        own_record: of guessing the words of what is shown of the record itself.
        own_bases: of guessing by its bases, pairs or triplets.
        lead: of the loss on the best of the three.
        chance: what that may come to by chance; None where there is one record, too.
        records: held out.
    """

    word: int
    loss: float | None = None
    overall: float | None = None
    own_record: float | None = None
    own_bases: float | None = None
    lead: float | None = None
    chance: float | None = None
    records: int = 0

    def summary(self) -> list[str]:
        """Lines that say whether anything was learnt."""
        if self.loss is None:
            return ["no record was held out, so nothing is known of what was learnt"]
        told = f"{self.records} held-out records tell" if self.records > 1 else "a single held-out record tells"
        if self.lead is not None and self.chance is not None and self.lead > self.chance:
            verdict = "more is learnt than composition"
        else:
            verdict = f"no more than composition is learnt, as far as {told}"
        within = "" if self.chance is None else f" ± {self.chance:.4f}"
        overall = f"guessing the composition of all training records: {self.overall:.4f}"
        own = f"of what is shown of the record itself: {self.own_record:.4f}; of its bases, pairs or triplets: {self.own_bases:.4f}"
        return [
            f"held-out loss {self.loss:.4f} nats a hidden {self.word}-mer, {self.lead:+.4f}{within} against the best of those below: {verdict}",
            f"{overall}; {own}",
        ]


def pretrain(
    dataset: Dataset,
    tokenizer: TokenizerSettings,
    model: ModelSettings,
    settings: TrainSettings,
    folder: Path,
    *,
    masking: MaskingSettings,
    division: Division,
    fabric: Fabric | None = None,
    resume: bool = False,
) -> PretrainResult:
    """Learn from the first records of `division` and fill `folder` with metrics.jsonl, checkpoints/, model/ and provenance.json.

    Args:
        fabric: as `launch` makes it; None launches one here.
        resume: go on from the newest checkpoint in `folder`, or from the start where there is none.

    Raises:
        GenomixError: as `train` does.
    """
    started = time.monotonic()
    learning, held_out = division
    recipe = decide(dataset, learning, tokenizer, model, settings)
    batches, trial = (_batches(dataset, records, recipe, masking, augment) for records, augment in _views(division, settings))
    frequencies = word_frequencies(batches)
    network, training = _prepare(fabric or launch(settings), batches, held_out, recipe, frequencies, folder=folder)
    training.since = started
    if resume:
        resume_from_checkpoint(training)
    guesses = guess(trial, frequencies) if len(held_out) else None
    _announce(network, batches, training, guesses)
    begin_provenance(training, folder, dataset)
    with History(folder / HISTORY_FILE, step=training.progress.step, steps=training.steps, writes=training.processes.is_first) as history:
        fit(training, _validation(training, trial, guesses) if guesses else None, history)
    network = training.kept()
    result = _result(training, trial, guesses) if guesses else PretrainResult(batches.word)
    content = _content(training, recipe, dataset, division, seconds=training.seconds) | {"pretraining": asdict(result)}

    def write() -> None:
        save_body(folder / "model", network.network, recipe.tokenizer, content)
        write_provenance(folder, describe_run(dataset) | content)

    training.processes.from_first(write)
    return result


def require_pretrainable(dataset: Dataset, tokenizer: TokenizerSettings, model: ModelSettings, settings: TrainSettings) -> None:
    """Raise what `pretrain` would raise of the data and of `train.init` before its first step.

    Raises:
        DataError: a record is too short for a token.
        SettingsError: the model of `train.init` does not fit.
    """
    require_tokens(dataset, tokenizer)
    if settings.init is not None:
        records = np.arange(len(dataset))
        require_fitting(read_body(settings.init), decide(dataset, records, tokenizer, model, settings).model, tokenizer)


def _views(division: Division, settings: TrainSettings) -> tuple[tuple[np.ndarray, AugmentSettings], ...]:
    """The records to learn from as training changes them, and those held out as they are."""
    learning, held_out = division
    return (learning, settings.augment), (held_out, settings.augment.model_copy(update={"substitutions": 0.0, "whole": _ANY_LENGTH}))


def _batches(dataset: Dataset, records: np.ndarray, recipe: Recipe, masking: MaskingSettings, augment: AugmentSettings) -> MaskedBatches:
    return MaskedBatches(
        dataset,
        records,
        build_tokenizer(recipe.tokenizer),
        augment,
        masking,
        patch=recipe.model.patch,
        strand=recipe.strand,
        max_tokens=recipe.model.max_tokens,
        token_budget=recipe.training.token_budget,
        max_records=recipe.training.max_records,
        seed=recipe.training.seed,
    )


def _prepare(
    fabric: Fabric, batches: MaskedBatches, held_out: np.ndarray, recipe: Recipe, frequencies: np.ndarray, *, folder: Path
) -> tuple[Reconstructor, Training]:
    torch.manual_seed(recipe.training.seed)
    network = Reconstructor(recipe.model, batches.tokenizer.vocabulary, torch.from_numpy(frequencies).float())
    start = start_body(network.network, batches.dataset, batches.indices, recipe.tokenizer, recipe.training, strand=recipe.strand)
    origin = recipe.origin(batches.dataset, masking=batches.masking.model_dump_json(), init_sha256=start.get("init_sha256"))
    return network, assemble(
        fabric,
        network,
        MaskedUpdate(network, processes_of(fabric)),
        batches,
        recipe.training,
        folder=folder,
        origin=origin,
        start=start,
        validation_bases=float(batches.dataset.lengths[held_out].sum()),
        fall=_LEARNT,
    )


def _validation(training: Training, trial: MaskedBatches, guesses: Guesses) -> Callable[[], Reading]:
    """Reads the held-out records, always with the same bases hidden."""

    def read() -> Reading:
        loss = guesses.per_word(_losses(training, trial))
        if not np.isfinite(loss):
            raise FloatingPointError("the network's scores are not finite")
        return Reading({"loss": loss})

    return read


def _losses(training: Training, trial: MaskedBatches) -> np.ndarray:
    """Of the averaged network, summed over each record's hidden words: float64 [record]."""
    network, processes = training.average.module, training.processes
    assert isinstance(network, Reconstructor), "what pretraining trains"
    trial.token_budget = min(trial.token_budget, training.batches.token_budget)  # which may have been lowered

    def read(part: Batch) -> dict[int, float]:
        moved = part.to(training.fabric.device)
        losses = network(moved.tokens, moved.lengths, moved.circular, moved.labels)
        return dict(zip(part.records, losses.tolist(), strict=True))

    def read_share() -> dict[int, float]:
        """Of every `world`-th update: the same sums that one process alone would make."""
        found: dict[int, float] = {}
        with torch.inference_mode():
            for part in (part for parts in islice(trial.epoch(0), processes.rank, None, processes.world) for part in parts):
                for losses in read_in_fitting_parts(read, part, trial):
                    found |= losses
        return found

    found = {record: loss for share in processes.share(read_share) for record, loss in share.items()}
    return np.array([found[record] for record in trial.indices.tolist()])


def _result(training: Training, trial: MaskedBatches, guesses: Guesses) -> PretrainResult:
    """Of the weights to keep."""
    lead, chance = guesses.lead(_losses(training, trial))
    return PretrainResult(
        word=trial.word,
        loss=training.progress.best_loss,
        overall=guesses.mean("overall"),
        own_record=guesses.mean("own_record"),
        own_bases=guesses.mean("own_bases"),
        lead=lead,
        chance=chance,
        records=len(trial.indices),
    )


def _announce(network: Reconstructor, batches: MaskedBatches, training: Training, guesses: Guesses | None) -> None:
    _log.info(
        "pretraining %s parameters on %d records, %s bases: %d steps of %d records on %s",
        f"{sum(parameter.numel() for parameter in network.parameters()):,}",
        len(batches.indices),
        f"{int(batches.dataset.lengths[batches.indices].sum()):,}",
        training.steps,
        min(training.settings.max_records, len(batches.indices)),
        training.fabric.device,
    )
    if guesses:
        figures = (guesses.mean(name) for name in ("overall", "own_record", "own_bases"))
        _log.info(
            "to beat, in nats a hidden %d-mer: overall composition %.4f, the record's own words %.4f, its bases %.4f",
            batches.word,
            *figures,
        )


def _content(training: Training, recipe: Recipe, dataset: Dataset, division: Division, *, seconds: float) -> dict[str, Any]:
    """What the model and the provenance say of the run."""
    learning, held_out = division
    return {
        "preprocessing": {"strand": recipe.strand, "circular": dataset.circular},
        "training": training_summary(training, seconds, validated=len(held_out) > 0),
        "dataset": {
            "dataset_sha256": dataset.digest,
            "train_records": len(learning),
            "validation_records": len(held_out),
            "shortest_record": int(dataset.lengths.min()),
            "longest_record": int(dataset.lengths.max()),
        },
    }
