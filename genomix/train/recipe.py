"""What the settings come to for one dataset: the network's size and branches, the strand, how many updates, how often the validation split is read."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genomix.data.augment import Strand
from genomix.data.batches import token_count
from genomix.data.store import Dataset
from genomix.errors import DataError
from genomix.nn.classifier import ModelSettings
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train.body import read_body, require_fitting
from genomix.train.settings import FEWEST_RECORDS, TrainSettings
from genomix.train.start import LONGEST_SPECTRAL_K

_log = logging.getLogger(__name__)


def resized(model: ModelSettings, longest: int, *, circular: bool, tokenizer: TokenizerSettings) -> ModelSettings:
    """The settings with `max_tokens` lowered to the power-of-two multiple of a patch that holds a record of `longest` bases.

    Factors beyond a record's length would never be trained. A network tied to absolute positions stays as it is.
    """
    if model.fixed_length:
        return model
    tokens = max(1, token_count(longest, build_tokenizer(tokenizer), circular=circular))
    positions = -(-tokens // model.patch)
    rounded = model.patch * 2 ** (positions - 1).bit_length()
    return model.model_copy(update={"max_tokens": min(model.max_tokens, rounded)})


def step_count(settings: TrainSettings, updates_per_epoch: int, tokens_per_update: float) -> int:
    """Updates of the whole run."""
    if settings.steps:
        return settings.steps
    wanted = min(settings.epochs * updates_per_epoch, int(settings.most_tokens / tokens_per_update))
    return min(settings.most_steps, max(settings.fewest_steps, wanted))


_UPDATES_BETWEEN = 3
"""Updates before each validation, at least: one alone changes next to nothing in weights that are averaged."""


def validation_count(settings: TrainSettings, steps: int, training_tokens: float, validation_tokens: float) -> int:
    """How often the validation split is read: less often where reading it costs more than training, but enough to choose from. A run shorter than a small data
    set's has less to choose from, in proportion.

    Args:
        steps: of the whole run, in which `training_tokens` are read.
        validation_tokens: of one reading.
    """
    enough = settings.validations / 2 * min(1.0, steps / settings.fewest_steps)
    affordable = max(enough, training_tokens / max(1.0, validation_tokens))
    return max(1, int(min(settings.validations, steps / _UPDATES_BETWEEN, affordable)))


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings that hold for this dataset: the network's size and the strand are decided."""

    tokenizer: TokenizerSettings
    model: ModelSettings
    training: TrainSettings
    strand: Strand

    def origin(self, dataset: Dataset, **others: Any) -> dict[str, str]:
        """What must be equal for a checkpoint to be continued, by name; `others` beside the data and the settings."""
        training = self.training.model_dump(mode="json", exclude=set(self.training.HOW))
        tables = {"tokenizer": self.tokenizer.model_dump(mode="json"), "model": self.model.model_dump(mode="json"), "train": training}
        named = {"the dataset": dataset.digest, "the strand": self.strand, **flat(tables), **others}
        return {name: str(value) for name, value in named.items()}


def flat(nest: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their full names, such as `train.seed`."""
    found: dict[str, Any] = {}
    for key, value in nest.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def decide(dataset: Dataset, records: np.ndarray, tokenizer: TokenizerSettings, model: ModelSettings, settings: TrainSettings) -> Recipe:
    """What holds for these training records."""
    lengths, strand = dataset.lengths[records], dataset.strand if settings.strand == "auto" else settings.strand
    model = fitting_motifs(fitting_branches(model, tokenizer), settings, lengths, strand)
    model = resized(model, int(lengths.max()), circular=dataset.circular, tokenizer=tokenizer)
    settings = settings.model_copy(update={"max_records": records_of_update(settings, lengths, tokenizer.stride)})
    return Recipe(tokenizer, model, settings, strand)


def records_of_update(settings: TrainSettings, lengths: np.ndarray, stride: int) -> int:
    """How many records an update has at most.

    An update of sixteen short records costs little more than its fixed part, and of a large set such updates would never see most records.

    Args:
        lengths: of the training records, in bases.
        stride: bases from one token to the next.
    """
    if settings.max_records:
        return settings.max_records
    wanted = -(-settings.epochs * len(lengths) // settings.most_steps)
    affordable = int(settings.update_tokens * stride / max(1.0, float(lengths.mean())))
    return max(FEWEST_RECORDS, min(wanted, affordable))


_BRANCHES = {"codon": "reading-frame", "composition": "composition", "motifs": "motif"}


def fitting_branches(model: ModelSettings, tokenizer: TokenizerSettings) -> ModelSettings:
    """Without the branches that these tokens can't serve: codons and motifs need letters in order, one after the other, and composition a table of all k-mers."""
    plain = tokenizer.kind == "kmer" and not tokenizer.canonical and tokenizer.stride == 1
    off: dict[str, Any] = {}
    if model.codon and not (plain and tokenizer.k >= 3):
        off["codon"] = 0
    if model.composition and not (plain and tokenizer.k <= LONGEST_SPECTRAL_K):
        off["composition"] = False
    if model.motifs and not (plain or tokenizer.kind == "nucleotide"):
        off["motifs"] = 0
    if off:
        _log.warning("these tokens serve no %s branch: left out", " and no ".join(_BRANCHES[name] for name in off))
    return model.model_copy(update=off)


def fitting_motifs(model: ModelSettings, settings: TrainSettings, lengths: np.ndarray, strand: Strand) -> ModelSettings:
    """With the strand that motifs are looked for on; without motifs where the training records are long.

    Args:
        lengths: of these, in bases.
    """
    mean = float(lengths.mean())
    if not model.motifs:
        return model
    if mean <= settings.motif_length:
        return model.model_copy(update={"motif_strand": strand}) if model.motif_strand == "auto" else model
    if "motifs" in model.model_fields_set:
        have = f"{mean:,.0f} bases on average, and train.motif_length is {settings.motif_length:,}"
        _log.warning("model.motifs has no effect: the training records have %s", have)
    return model.model_copy(update={"motifs": 0})


def training_records(dataset: Dataset, tokenizer: TokenizerSettings) -> np.ndarray:
    """Records of the training split.

    Raises:
        DataError: there are none, they are of one class, or a record of the dataset is too short for a token.
    """
    records = dataset.indices("train")
    if not len(records):
        if dataset.info["split"] is not None:
            raise DataError(
                "no record is in the training split", hint="this dataset is one to evaluate models on: genomix evaluate MODEL DATASET"
            )
        raise DataError("no labelled records to train on", hint="give labels: NAME=file.fa, class folders, --labels, --label-regex")
    if len(np.unique(dataset.label_ids[records])) < 2:
        raise DataError("the training split has one class only; telling classes apart needs two")
    require_tokens(dataset, tokenizer)
    return records


def require_tokens(dataset: Dataset, tokenizer: TokenizerSettings) -> None:
    """Raises DataError where a record is too short for a token."""
    shortest, k = int(dataset.lengths.argmin()), build_tokenizer(tokenizer).k
    if dataset.lengths[shortest] < k:
        name = dataset.records["id"].iloc[shortest]
        raise DataError(
            f"record {name!r} has {dataset.lengths[shortest]} bases, and a token has {k}",
            hint="a larger --min-length, or a smaller tokenizer.k",
        )


def require_trainable(dataset: Dataset, tokenizer: TokenizerSettings, model: ModelSettings, settings: TrainSettings) -> None:
    """Raise what `train` would raise of the data and of `train.init` before its first step."""
    records = training_records(dataset, tokenizer)
    if settings.init is not None:
        require_fitting(read_body(settings.init), decide(dataset, records, tokenizer, model, settings).model, tokenizer)
