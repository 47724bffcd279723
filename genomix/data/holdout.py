"""Which records pretraining learns from, and which it is tried on."""

import logging

import numpy as np

from genomix.data.clusters import find_clusters
from genomix.data.sketches import sketch_records
from genomix.data.splits import TRAIN, VALIDATION, SplitSettings, deal
from genomix.data.store import BASES_FILE, Dataset
from genomix.errors import UsageError

_log = logging.getLogger(__name__)


def pretraining_split(dataset: Dataset, settings: SplitSettings) -> tuple[np.ndarray, np.ndarray]:
    """Records to learn from, and records held out: int64 arrays.

    A dataset that is split keeps its split, and its test records are not read. Unlabelled data have none: then the validation fraction is held out, whole
    near-duplicate clusters (method `cluster`) or single records (`stratified`).

    Raises:
        UsageError: the split method needs labels.
    """
    if dataset.info["split"] is not None:
        return dataset.indices("train"), dataset.indices("validation")
    require_method(dataset, settings)
    groups = _groups(dataset, settings)
    if int(groups.max()) == 0:
        _log.warning("no records to hold out, as all are near-duplicates of each other: nothing will be known of what was learnt")
        return np.arange(len(dataset)), np.empty(0, np.int64)
    share = settings.fractions[VALIDATION]
    part = settings.model_copy(update={"fractions": (1 - share, share, 0.0)})
    sides = deal(np.zeros(len(dataset), np.int64), groups, ("unlabelled",), part)
    return np.flatnonzero(sides == TRAIN), np.flatnonzero(sides == VALIDATION)


def require_method(dataset: Dataset, settings: SplitSettings) -> None:
    """Raise the UsageError that `pretraining_split` would raise."""
    if dataset.info["split"] is None and settings.method not in {None, "cluster", "stratified"}:
        raise UsageError(f"the split method {settings.method} needs labelled data", hint="pretraining holds out by cluster, or stratified")


def _groups(dataset: Dataset, settings: SplitSettings) -> np.ndarray:
    """int64 [record]: records of one number stay together."""
    if settings.method == "stratified":
        return np.arange(len(dataset))
    places = dataset.records["offset"].to_numpy(np.int64), dataset.lengths
    return find_clusters(sketch_records(dataset.folder / BASES_FILE, *places), settings.similarity)
