"""Labelled sequence files in, a dataset folder out.

In this order: find the files (`source_files`) -> label records (`labels`) -> leave out what can't be used (`cleaning`) or was seen before (`repeats`) and
write the bases of the rest (`reading`) -> sketch them (`sketches`) -> cluster near-duplicates (`clusters`) and split (`division`) -> write `records.tsv`
(`record_table`), `similarity.tsv` (`leaks`) and `dataset.json` (`info`). Of the bases only a few records are in memory at a time; the table of records is there as a whole.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from genomix.data.cleaning import CleaningSettings
from genomix.data.division import Division, divide
from genomix.data.info import dataset_info, source_entry, write_info
from genomix.data.labels import LabelSettings, build_labeller, gives_labels, labelled_records
from genomix.data.leaks import write_similarity
from genomix.data.manifest import load_manifest
from genomix.data.reading import read_records
from genomix.data.record_table import write_records
from genomix.data.sketches import sketch_records
from genomix.data.source_files import SourceFile, find_source_files
from genomix.data.splits import SplitMethod, SplitSettings
from genomix.data.store import BASES_FILE, INFO_FILE, RECORDS_FILE, SIMILARITY_FILE, Dataset, file_entry
from genomix.data.taxonomy import with_even_ranks
from genomix.errors import UsageError
from genomix.formats.opening import STDIN
from genomix.outputs import atomic_folder, require_apart

_log = logging.getLogger(__name__)

_OF_CLASSES = {
    "split.method": "--split",
    "split.fractions": "--fractions",
    "split.similarity": "--similarity",
    "cleaning.min_class": "--min-class",
}
"""Settings in `data` that need labels, and their options. The seed needs some too, but is training's and pretraining's as well."""


class PreprocessSettings(BaseModel):
    """How sequence files become a dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: LabelSettings = LabelSettings()
    cleaning: CleaningSettings = CleaningSettings()
    split: SplitSettings = SplitSettings()
    circular: bool | None = None
    """Whether the molecules are circular: their first base follows their last. None is no, unless a manifest says otherwise."""
    strand: Literal["both", "forward"] | None = None
    """`forward` where the other strand of a record is something else: then a reverse complement is no duplicate. None is `both`, unless a manifest says
    otherwise."""


class PreprocessTables(BaseModel):
    """The one table of a `run.toml` that preprocessing reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: PreprocessSettings = PreprocessSettings()


def preprocess(sources: Sequence[str], settings: PreprocessSettings, output: str | Path, *, force: bool = False) -> Dataset:
    """Make a dataset folder; it appears only when it is whole.

    Args:
        sources: sequence files (`-` is standard input), `NAME=file` pairs, class folders; none with a manifest.
        force: replace a folder that exists.

    Raises:
        UsageError: the inputs and options don't fit together.
        InputMissing: a file isn't there.
        DataError: a file is broken; labels contradict each other or the records; no record is left; a class is too small to split.
        OutputError: the folder exists, or can't be written.
        SettingsError: the manifest is none.
    """
    files, settled = settle(sources, settings)
    require_apart(Path(output), input_paths(files, settled.labels))
    with atomic_folder(output, marker=INFO_FILE, force=force) as folder:
        info = _fill(folder, files, settled)
        write_info(folder, {**info, "settings": settings.model_dump(mode="json")})
    return Dataset.open(output)


def settle(sources: Sequence[str], settings: PreprocessSettings) -> tuple[list[SourceFile], PreprocessSettings]:
    """The files to read, and the settings with nothing left open: what the user set, then what the manifest says, then the defaults.

    Raises:
        UsageError: the inputs and settings contradict each other, or one that was asked for (a set field) would be ignored.
        GenomixError: as reading a manifest and finding the files raise.
    """
    labels = settings.labels
    manifest = None if labels.manifest is None else load_manifest(labels.manifest)
    if manifest is not None and sources:
        raise UsageError("--manifest names the sequence files itself", hint=f"leave out {sources[0]}")
    method = settings.split.method or _method_meant(labels) or (manifest.split if manifest else "cluster")
    settled = settings.model_copy(
        update={
            "labels": manifest.label_settings(labels, read_split=method == "column") if manifest else labels,
            "split": settings.split.model_copy(update={"method": method}),
            "circular": settings.circular if settings.circular is not None else bool(manifest and manifest.circular),
            "strand": settings.strand or (manifest.strand if manifest else "both"),
        }
    )
    _refuse_circular_regions(settled, settings)
    files = manifest.source_files() if manifest else find_source_files(sources)
    if files and not gives_labels(files, settled.labels):
        _refuse_without_labels(settings)
    return files, settled


def _refuse_circular_regions(settled: PreprocessSettings, asked: PreprocessSettings) -> None:
    if settled.circular and settled.labels.intervals is not None:
        who, change = (
            ("--circular", "leave out --circular") if asked.circular else ("the manifest", "data.circular = false in a --config file")
        )
        raise UsageError(f"{who} says that molecules are circular, but a region that --intervals cuts out is linear", hint=change)


def _refuse_without_labels(asked: PreprocessSettings) -> None:
    """Records without labels are not split, and are of no class. What only a file says, such as the run.toml of a labelled run, is not asked for."""
    for setting, option in _OF_CLASSES.items():
        name, key = setting.split(".")
        table = getattr(asked, name)
        if key in table.model_fields_set and getattr(table, key) not in {None, "column"}:  # a column is missed with the table that it is in
            raise UsageError(
                f"{option} (data.{setting}) needs labels, and nothing says what those of the records are",
                hint="NAME=file.fa, a folder a class, --labels or --label-regex say it; without labels leave it out",
            )


def _fill(folder: Path, files: Sequence[SourceFile], settings: PreprocessSettings) -> dict[str, Any]:
    """Write all but `dataset.json`, and give its content."""
    labelled, needs_split = gives_labels(files, settings.labels), settings.split.method == "column"
    labeller = build_labeller(files, settings.labels, read_split=needs_split)
    known = chain(labeller.known_labels(), (file.label for file in files if file.label is not None))
    items = with_even_ranks(labelled_records(files, labeller, settings.labels), known)
    with _background() as (hashing, stop):
        sources = [hashing.submit(source_entry, path, label, stop) for path, label in inputs(files, settings.labels)]
        reading = read_records(
            items,
            folder,
            settings.cleaning,
            labelled=labelled,
            both_strands=settings.strand == "both",
            needs_split=needs_split,
            circular=bool(settings.circular),
        )
        bases = hashing.submit(file_entry, folder / BASES_FILE, stop)
        table, rows = reading.table, np.flatnonzero(reading.kept)
        places = np.asarray(table.offsets)[rows], np.asarray(table.lengths)[rows]
        division = divide(table, rows, sketch_records(folder / BASES_FILE, *places) if labelled else None, settings.split)
        division = _without_unread_fractions(division, [table.splits[row] for row in rows], settings.split)
        write_records(folder / RECORDS_FILE, table, rows, division.splits, division.clusters)
        files_written = {BASES_FILE: bases.result(), RECORDS_FILE: file_entry(folder / RECORDS_FILE)}
        if division.leaks is not None:
            write_similarity(folder / SIMILARITY_FILE, table, rows, division.splits, division.leaks)
            files_written[SIMILARITY_FILE] = file_entry(folder / SIMILARITY_FILE)
        return {
            **dataset_info(table, rows, division, rejected=reading.rejected),
            "circular": settings.circular,
            "strand": settings.strand,
            "sources": [entry.result() for entry in sources],
            "files": files_written,
        }


def _without_unread_fractions(division: Division, given: list[str], asked: SplitSettings) -> Division:
    """The same division; its figures state no fractions where the table gave the split of every record, so that none were dealt out.

    Args:
        given: the split of each row in the table; empty where there is none.
    """
    if division.figures is None or list(division.splits) != given:
        return division
    if "fractions" in asked.model_fields_set:
        _log.warning("--fractions (data.split.fractions) has no effect: the label table gives every record's split")
    return replace(division, figures={**division.figures, "fractions": None})


@contextmanager
def _background() -> Iterator[tuple[ThreadPoolExecutor, Event]]:
    """A thread for checksums, and what tells it to stop. After an error it begins no other one and leaves off the one at hand."""
    stop, thread = Event(), ThreadPoolExecutor(1, thread_name_prefix="sha256")
    try:
        yield thread, stop
    finally:
        stop.set()
        thread.shutdown(cancel_futures=True)


def _method_meant(labels: LabelSettings) -> SplitMethod | None:
    """Who names a column of the label table wants it used."""
    return "column" if labels.split_column else "group" if labels.group_column else None


def input_paths(files: Sequence[SourceFile], labels: LabelSettings) -> list[str]:
    """The files that are read, without standard input."""
    return [path for path, _ in inputs(files, labels) if path != STDIN]


def inputs(files: Sequence[SourceFile], labels: LabelSettings) -> list[tuple[str, str | None]]:
    """Every file that the dataset is made of, with the label of all its records."""
    others = [path for path in (labels.table, labels.intervals, labels.genome) if path is not None]
    return [(file.path, file.label) for file in files] + [(path, None) for path in others]
