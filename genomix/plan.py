"""What training and prediction need for records of given lengths, before anything is trained: the table of `genomix plan`."""

import importlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from genomix.data.augment import Strand
from genomix.data.batches import max_bases, token_count
from genomix.devices import require_device
from genomix.errors import UsageError
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.outputs import atomic_file
from genomix.planning import SHARE, Choice, Costs, choose, free_memory, largest_update, measured_costs, parts_of, process_memory
from genomix.planning.lengths import Lengths
from genomix.scorer import PredictSettings
from genomix.settings.run import RunSettings
from genomix.tokenizers import build_tokenizer
from genomix.train.recipe import fitting_branches, fitting_motifs, records_of_update, resized
from genomix.windows import Reader


@dataclass(frozen=True, slots=True)
class Needs:
    """Of one way to use the network: bytes that the process takes at most, and seconds, an estimate."""

    memory: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """What records of one length need.

    Attributes:
        training: of a step on one record.
        recomputed: of that with activations computed again in the backward pass.
        update: of as many records as an update has, as training would run it; `update_recomputes` says which way that is.
        prediction: of one record, in all its windows where it is longer than the network reads.
    """

    bases: int
    training: Needs
    recomputed: Needs
    update: Needs
    update_recomputes: bool
    prediction: Needs


@dataclass(frozen=True, slots=True)
class Plan:
    """What `genomix plan` says.

    Attributes:
        memory: bytes to plan with.
        resting: of them, what a training process takes before a record comes.
        kmers: bytes that training takes at most when it looks at its records' k-mers, before its first update and after its last; of as many records as it would look at,
            where their number is not known.
        longest_training: bases of the longest record that one step can train on, with activations computed again if need be; never above `longest_whole`.
        longest_whole: what the settings let through the network in one piece; longer records are cropped in training and read in windows in prediction.
        choice: what training would do with its largest update.
    """

    device: str
    parameters: int
    memory: int
    resting: int
    kmers: int
    rows: tuple[Row, ...]
    records: int
    longest_training: int
    longest_prediction: int
    longest_whole: int
    choice: Choice

    def table(self) -> list[str]:
        """The plan as lines of text."""
        choice = self.choice
        recompute = "computed again in the backward pass" if choice.recompute else "kept"
        return [
            f"{self.parameters:,} parameters; {_gib(self.memory)} GiB on {self.device}, {_gib(self.resting)} of them taken before a record comes",
            "",
            f"{'':>12}  {'training, a record':>18}  {'recomputed':>18}  {f'an update of {self.records}':>18}  {'prediction':>18}",
            f"{'bases':>12}" + f"  {'GiB':>7} {'seconds':>10}" * 4,
            *map(_line, self.rows),
            *(["* activations recomputed"] if any(row.update_recomputes for row in self.rows) else []),
            *([self._of_longer()] if any(row.bases > self.longest_whole for row in self.rows) else []),
            "",
            *(
                [f"before its first update and after its last training looks at its records' k-mers: up to {_gib(self.kmers)} GiB"]
                if self.kmers > self.resting
                else []
            ),
            f"longest record that fits: {self._longest(self.longest_training)} in training, {self._longest(self.longest_prediction)} in prediction",
            f"training would take a token budget of {choice.token_budget:,}; in its largest update activations are {recompute}"
            + ("" if choice.fits else f", and still it takes {_gib(self.resting + choice.need)} GiB: it may not fit"),
        ]

    def _of_longer(self) -> str:
        return f"records above {self.longest_whole:,} bases: training sees stretches of so many; prediction reads all of it, in windows"

    def _longest(self, bases: int) -> str:
        return f"{bases:,} bases" + (" (the settings' limit)" if bases == self.longest_whole else "")


def make_plan(settings: RunSettings, lengths: Lengths, *, memory: int | None = None) -> Plan:
    """Run the network on short records and extrapolate.

    Args:
        memory: bytes to plan with; None is what is free on the device, and what this process has.

    Raises:
        UsageError: there is no such device, or it does not tell how much memory it has.
    """
    device = require_device(settings.train.device)
    tokenizer = build_tokenizer(settings.tokenizer)
    training = np.array([max(lengths.rows)]) if lengths.training is None else lengths.training
    train = settings.train.model_copy(update={"max_records": records_of_update(settings.train, training, tokenizer.stride)})
    strand = lengths.strand if train.strand == "auto" else train.strand
    model = fitting_motifs(fitting_branches(settings.model, settings.tokenizer), train, training, strand)
    costs = measured_costs(model, tokenizer.vocabulary, device, settings.train.precision, timed=True)
    if memory is None and (memory := _all_memory(costs, free_memory(device))) is None:
        raise UsageError(f"{device.type} does not tell how much memory it has", hint="--memory says it, in GiB")
    trained = resized(model, max(lengths.rows), circular=lengths.circular, tokenizer=settings.tokenizer)
    planner = _Planner(settings.model_copy(update={"train": train}), costs, memory, strand, circular=lengths.circular)
    return planner.plan(lengths, device.type, _parameters(trained, tokenizer.vocabulary, lengths.classes))


class _Planner:
    """Holds what all parts of a plan are computed from."""

    def __init__(self, settings: RunSettings, costs: Costs, memory: int, strand: Strand, *, circular: bool) -> None:
        self.train, self.costs, self.memory = settings.train, costs, memory
        self.tokenizer = build_tokenizer(settings.tokenizer)
        self.circular = circular
        self.ring, self.limit = (max_bases(costs.settings.max_tokens, self.tokenizer, circular=ring) for ring in (circular, False))
        self.resting = max(costs.bases.values()) + (_training_libraries() if costs.heap else 0) + costs.resting
        self.strands = 1 if strand == "forward" else 2
        self.predict = PredictSettings()
        self.reader = Reader(self.tokenizer, costs.settings.max_tokens, self.strands, circular, self.predict.overlap)

    def plan(self, lengths: Lengths, device: str, parameters: int) -> Plan:
        free = self.memory - self.resting
        training = np.full(self.train.max_records, max(lengths.rows)) if lengths.training is None else lengths.training
        return Plan(
            device=device,
            parameters=parameters,
            memory=self.memory,
            resting=self.resting,
            kmers=self.resting + self._looking(lengths),
            rows=tuple(map(self._row, lengths.rows)),
            records=self.train.max_records,
            longest_training=self._bases(self.costs.longest(free, "plain" if self.train.recompute == "never" else "recomputed")),
            longest_prediction=self._bases(self.costs.longest(self.memory - self.costs.bases["prediction"], "prediction")),
            longest_whole=self.limit,
            choice=self._choice(training),
        )

    def _looking(self, lengths: Lengths) -> int:
        """Bytes, beside those of a process at rest, that the k-mers of the records take, for the start of the embedding and of the composition, and for the
        baselines; where only lengths are known, of as many records as they look at. It is main memory, which is not what a GPU is planned with."""
        if not self.costs.heap:
            return 0
        from genomix.baselines import MOST_RECORDS, baseline_memory  # here, when the process's memory is measured
        from genomix.train.composition import composition_memory
        from genomix.train.start import spectral_memory

        count = MOST_RECORDS if lengths.training is None else len(lengths.training)
        spectral = spectral_memory(count, self.tokenizer.k) if self.train.embedding_start == "spectral" else 0
        composed = 0
        if self.costs.settings.composition:
            composed = composition_memory(
                count, self.tokenizer.k, strands=self.strands, classes=lengths.classes, answered=lengths.records or count
            )
        return max(spectral, composed, baseline_memory(count, strands=self.strands))

    def _row(self, bases: int) -> Row:
        tokens = self._tokens(bases)
        choice = self._choice(np.full(self.train.max_records, bases))
        windows = len(self.reader.spans(bases)) * self.strands
        predicted = parts_of(np.full(windows, tokens), self.predict.token_budget, self.predict.max_records)
        update = parts_of(np.full(self.train.max_records, tokens), choice.token_budget, self.train.max_records)
        return Row(
            bases=bases,
            training=Needs(self.resting + self.costs.update([(1, tokens)], "plain"), self.costs.seconds([(1, tokens)], "plain")),
            recomputed=Needs(
                self.resting + self.costs.update([(1, tokens)], "recomputed"), self.costs.seconds([(1, tokens)], "recomputed")
            ),
            update=Needs(
                self.resting + choice.need - self.costs.growth,
                self.costs.seconds(update, "recomputed" if choice.recompute else "plain"),
            ),
            update_recomputes=choice.recompute,
            prediction=Needs(
                self.costs.bases["prediction"] + max(map(self.costs.prediction, predicted)), self.costs.seconds(predicted, "prediction")
            ),
        )

    def _choice(self, lengths: np.ndarray) -> Choice:
        """What training does at its start, see `genomix.train.memory`."""
        return choose(
            self.costs,
            largest_update(lengths, self.limit, self.tokenizer.stride, self.train.max_records),
            token_budget=self.train.token_budget,
            max_records=self.train.max_records,
            memory=SHARE * (self.memory - self.resting + self.costs.growth),
            recompute=self.train.recompute,
        )

    def _tokens(self, bases: int) -> int:
        """Of a record of so many bases, or of the window of it that goes through in one piece."""
        whole = self.circular and bases <= self.ring
        return max(1, token_count(bases if whole else min(bases, self.limit), self.tokenizer, circular=whole))

    def _bases(self, tokens: int) -> int:
        return 0 if tokens < 1 else min(self.limit, max_bases(tokens, self.tokenizer))


def plan_text(plan: Plan) -> str:
    """The plan as JSON; memory in bytes."""
    return json.dumps(asdict(plan), indent=2) + "\n"


def write_plan(plan: Plan, path: Path) -> None:
    """`plan_text` as a file."""
    with atomic_file(path) as file:
        file.write(plan_text(plan))


def _parameters(model: ModelSettings, vocabulary: int, classes: int) -> int:
    with torch.device("meta"):  # no memory, no random numbers
        return sum(parameter.numel() for parameter in Classifier(model, vocabulary, classes).parameters())


def _training_libraries() -> int:
    """Bytes that training takes for what it loads and prediction does without."""
    before = process_memory()
    importlib.import_module("genomix.runs")
    return process_memory() - before


def _all_memory(costs: Costs, free: int | None) -> int | None:
    return None if free is None else free + max(costs.bases.values())


def _line(row: Row) -> str:
    cells = ((row.training, " "), (row.recomputed, " "), (row.update, "*" if row.update_recomputes else " "), (row.prediction, " "))
    return f"{row.bases:>12,}" + "".join(f"  {_gib(needs.memory):>7}{mark} {needs.seconds:>9.2f}" for needs, mark in cells)


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f}"
