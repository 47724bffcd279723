"""What the network has to beat: logistic regression on k-mer frequencies, for three k, counted on one strand and on both, as they are and as square roots.

Neither form is the better one everywhere (insects and kingdoms: as they are; plasmids and transcripts: roots), so the strongest of all twelve is the rival.
"""

import json
import time
from itertools import product
from typing import get_args

import numpy as np
from accuracy_runs import SPLITS, claimed
from accuracy_sets import Places

from genomix.baselines import fit_kmers
from genomix.data.augment import Strand
from genomix.data.store import Dataset

RIVALS: dict[str, tuple[int, Strand, bool]] = {
    f"kmer{k}_{strand}_{'root' if roots else 'plain'}": (k, strand, roots)
    for k, strand, roots in product((4, 5, 6), get_args(Strand), (False, True))
}

Tables = dict[str, dict[str, np.ndarray]]
"""Rival -> split -> probabilities [record, class], in the order of `dataset.indices`."""


def fitted(places: Places, name: str, dataset: Dataset) -> Tables:
    """Every rival's probabilities of the validation and the test records; fitted once a dataset, then read back."""
    path = places.rivals(name)
    with claimed(path.with_suffix(".lock"), wait=True):
        if not path.exists() or str(np.load(path)["dataset"]) != dataset.digest or set(strengths(places, name)) != set(RIVALS):
            _fit(places, name, dataset)
        stored = np.load(path)
        return {rival: {split: stored[f"{rival}:{split}"] for split in SPLITS} for rival in RIVALS}


def strengths(places: Places, name: str) -> dict[str, float]:
    """The C that was chosen for each rival."""
    return json.loads(str(np.load(places.rivals(name))["strengths"]))


def _fit(places: Places, name: str, dataset: Dataset) -> None:
    columns: dict[str, np.ndarray] = {}
    chosen: dict[str, float] = {}
    for rival, (k, strand, roots) in RIVALS.items():
        started = time.monotonic()
        model = fit_kmers(dataset, k, strand=strand, roots=roots)
        chosen[rival] = float(model.model.C)
        for split in SPLITS:
            columns[f"{rival}:{split}"] = model.probabilities(dataset, dataset.indices(split))
        print(f"{name}: {rival}: C = {model.model.C:g}, {time.monotonic() - started:.0f} s", flush=True)
    part = places.rivals(name).with_suffix(".part.npz")
    np.savez_compressed(part, dataset=dataset.digest, strengths=json.dumps(chosen), **columns)
    part.replace(places.rivals(name))
