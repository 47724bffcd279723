"""Labelled sequence files in, a dataset folder out.

In this order: find the files (`source_files`) -> label records (`labels`) -> leave out what can't be used (`cleaning`) or was seen before (`repeats`) and
write the bases of the rest (`reading`) -> sketch them (`sketches`) -> cluster near-duplicates (`clusters`) and split (`division`) -> write `records.tsv`
(`record_table`), `similarity.tsv` (`leaks`) and `dataset.json` (`info`). Of the bases only a few records are in memory at a time; the table of records is there as a whole.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from genomix.data.cleaning import CleaningSettings
from genomix.data.division import divide
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
    """The files to read, and the settings with nothing left open: what the user set, then what the manifest says, then the defaults."""
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
    return manifest.source_files() if manifest else find_source_files(sources), settled


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
