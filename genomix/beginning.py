"""What can be said of a run before torch is there, which takes ten seconds to load: its settings, and whether it can be begun in that folder."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from genomix.data.labels import LabelSettings
from genomix.data.source_files import require_sources, split_source
from genomix.data.splits import SplitSettings
from genomix.data.store import INFO_FILE
from genomix.errors import OutputError, UsageError
from genomix.formats.opening import STDIN, require_readable
from genomix.outputs import require_apart, require_free
from genomix.processes import launched
from genomix.settings import resolve
from genomix.settings.run import PretrainRunSettings, RunSettings

SETTINGS_FILE = "run.toml"
DATASET_FOLDER = "dataset"
"""In a run that was begun with sequence files."""
DEFAULT_PRESET = "base"

_log = logging.getLogger(__name__)

SettingsT = TypeVar("SettingsT", bound=RunSettings)


def resolve_run(
    folder: Path,
    *,
    preset: str | None,
    config: Path | None,
    assignments: Sequence[str],
    options: Mapping[str, Any],
    resume: bool,
    model: type[SettingsT],
) -> SettingsT:
    """The settings of a run that is to be made in, or resumed from, `folder`; see `genomix.settings.resolve`.

    A run that is resumed without a preset or a file takes them from its own `run.toml`.
    """
    if resume and preset is None and config is None and (folder / SETTINGS_FILE).exists():
        config = folder / SETTINGS_FILE
    return resolve(model, preset=preset, default_preset=DEFAULT_PRESET, config=config, assignments=assignments, options=options)


def settings_of(folder: Path, model: type[SettingsT]) -> SettingsT:
    """The settings that a run folder was made with.

    Raises:
        SettingsError: its run.toml was changed to what can't be.
    """
    return resolve(model, config=folder / SETTINGS_FILE, environment={})


def require_possible(sources: Sequence[str], settings: RunSettings, folder: Path, *, resume: bool, force: bool) -> None:
    """Raise what beginning the run would, as far as names of files and folders tell. The arguments are those of `genomix.runs.run`.

    Raises:
        InputMissing: an input isn't there.
        OutputError: the folder exists, or holds an input.
        UsageError: the words don't fit together.
    """
    if resume and force:
        raise UsageError("--resume and --force exclude each other")
    ready, resumed = dataset_folder(sources), resume and (folder / SETTINGS_FILE).exists()
    require_sources(sources)
    labels = settings.data.labels
    asked = (labels.table, labels.intervals, labels.genome)
    # Where there is a dataset, the settings only remember what it was made of, and that may be gone.
    tables = [] if ready or (resumed and not sources) else [path for path in asked if path is not None]
    require_readable(tables)
    if resumed:
        return
    named = [path for _, path in map(split_source, sources) if path != STDIN]
    require_apart(folder, [*named, *tables, *([settings.train.init] if settings.train.init else [])])
    require_new(folder, force=force)


def without_labels(sources: Sequence[str], settings: PretrainRunSettings, folder: Path) -> PretrainRunSettings:
    """The settings of pretraining on these inputs, or of the run in `folder` where there are none. Labels, which the settings of a labelled run name, would leave out the records of files that have none.

    Raises:
        UsageError: a dataset folder is not alone.
    """
    if dataset_folder(sources) is not None or not (sources or (folder / DATASET_FOLDER).exists()):
        return settings
    others = launched()
    if settings.data.labels != LabelSettings() and (others is None or others.processes.is_first):
        _log.info("pretraining reads no labels: what the settings say of them has no effect")
    split = SplitSettings.model_construct(set(), **dict(settings.data.split))  # it is pretraining's, and not asked of preprocessing
    return settings.model_copy(update={"data": settings.data.model_copy(update={"labels": LabelSettings(), "split": split})})


def require_new(folder: Path, *, force: bool) -> None:
    """Raises OutputError where a run can't be begun; of one that has not ended it says that replacing it is not all that can be done."""
    if not force and (folder / SETTINGS_FILE).exists() and not (folder / "model").exists():
        raise OutputError(
            "the output folder exists: a run in it has not ended",
            where=str(folder),
            hint="--resume goes on with it; --force starts over; -o names another",
        )
    require_free(folder, force=force, marker=SETTINGS_FILE)


def dataset_folder(sources: Sequence[str]) -> Path | None:
    """The dataset folder that is named, None where sequence files are; raises UsageError where it is not alone."""
    found = [Path(source) for source in sources if (Path(source) / INFO_FILE).exists()]
    if found and len(sources) > 1:
        raise UsageError(f"{found[0]} is a dataset folder, and training takes one alone", hint="preprocess all the files into one dataset")
    return found[0] if found else None
