"""Pretraining from the user's files to the run folder: prepare the data where needed, pretrain, and write everything down.

run.toml          the resolved settings
dataset/          what preprocessing made, when the run began with sequence files
metrics.jsonl     a line a step and a validation        checkpoints/   to resume from
model/            the pretrained body                    provenance.json
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genomix.beginning import DEFAULT_PRESET, dataset_folder, without_labels
from genomix.data.holdout import pretraining_split, require_method
from genomix.data.source_files import find_source_files
from genomix.data.store import Dataset
from genomix.runs import open_run
from genomix.settings import resolve
from genomix.settings.run import PretrainRunSettings, RunSettings
from genomix.train.body import fitting_options, read_body
from genomix.train.pretrain import PretrainResult, pretrain, require_pretrainable
from genomix.train.stopping import interrupted_with_hint, stopping_at_once


@dataclass(frozen=True, slots=True)
class FinishedPretraining:
    """What a pretraining run has to show for itself; `speaks` is off in all processes of a run but the first."""

    result: PretrainResult
    speaks: bool


@stopping_at_once()
def pretrain_run(
    sources: Sequence[str], settings: PretrainRunSettings, folder: Path, *, resume: bool = False, force: bool = False
) -> FinishedPretraining:
    """Pretrain on a dataset folder, or on sequence files, into a run folder. Labels of `NAME=file` pairs, class folders and the settings are not used; of a
    folder all sequence files below it are read.

    Args:
        resume: go on with the run that is in `folder`, where there is one.
        force: replace it.

    Raises:
        OutputError: the folder exists, and neither `resume` nor `force` is on.
        Interrupted: a signal asked to stop.
        GenomixError: as preprocessing and training raise.
    """
    settings = without_labels(sources, settings, folder)
    if sources and dataset_folder(sources) is None:
        sources = [file.path for file in find_source_files(sources, labelled=False)]
    opened = open_run(sources, settings, folder, _require_pretrainable, resume=resume, force=force)
    dataset, settings = opened.dataset, opened.settings
    with interrupted_with_hint():
        result = pretrain(
            dataset,
            settings.tokenizer,
            settings.model,
            settings.train,
            folder,
            masking=settings.masking,
            division=pretraining_split(dataset, settings.data.split),
            fabric=opened.fabric,
            resume=resume,
        )
    return FinishedPretraining(result, speaks=opened.fabric.is_global_zero)


def next_command(folder: Path, preset: str | None) -> str:
    """The command that trains a classifier from the body in `folder`, with the settings that its network has to share.

    They are told as preset and differences, not as `--config run.toml`: what that says of training (steps, no substitutions) is meant for guessing.
    """
    body = read_body(folder)
    usual = resolve(RunSettings, preset=preset, default_preset=DEFAULT_PRESET)
    start = [f"--preset {shlex.quote(preset)}"] if preset else []
    words = [*start, *fitting_options(body, usual.model, usual.tokenizer), f"--init {shlex.quote(str(folder))}"]
    return f"genomix train LABELLED_SEQUENCES -o RUN {' '.join(words)}"


def _require_pretrainable(dataset: Dataset, settings: PretrainRunSettings) -> None:
    require_method(dataset, settings.data.split)
    require_pretrainable(dataset, settings.tokenizer, settings.model, settings.train)
