"""Which records belong together, when more than one thing says so."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genomix.data.store import Dataset


def related(*namings: Sequence[str]) -> np.ndarray:
    """int64 [record]: a number for each set of records that are linked by sharing a name, in any naming and over any number of steps.

    Args:
        namings: a name a record, such as its group and its near-duplicate cluster; an empty name is shared with nobody.
    """
    records = len(namings[0])
    numbers: dict[tuple[int, str], int] = {}
    links = [
        (record, numbers.setdefault((which, name), records + len(numbers)))
        for which, naming in enumerate(namings)
        for record, name in enumerate(naming)
        if name != ""
    ]
    ends = np.array(links, dtype=np.int64).reshape(-1, 2)
    size = records + len(numbers)
    graph = coo_array((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    return np.unique(component[:records], return_inverse=True)[1].astype(np.int64)


def divisible(labels: np.ndarray, *namings: np.ndarray) -> np.ndarray:
    """int64 [record]: a number for each set of records that stay together, by the first naming under which their class is more than one set.

    A class that is one set under each has its records by themselves, from the number records * namings on: of what hangs together whole nothing could be drawn
    or left out, and other classes need not suffer for it.

    Args:
        labels: int [record].
        namings: int [record], from 0 to below the number of records.
    """
    records = len(labels)
    numbers = len(namings) * records + np.arange(records)
    for label in np.unique(labels):
        own = labels == label
        for which, naming in enumerate(namings):
            if own.sum() == 1 or len(np.unique(naming[own])) > 1:
                numbers[own] = which * records + naming[own]
                break
    return numbers


def drawn_together(dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """Names of what a bootstrap draws, and a fold leaves out, together: records of one group or near-duplicate cluster; where a class would be one such
    set, of one cluster, or single records (see `divisible`)."""
    cluster = dataset.records["cluster"].to_numpy()[indices].tolist()
    return divisible(dataset.label_ids[indices], families(dataset, indices), related(cluster)).astype(str)


def families(dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """int64 [record]: a number for each set of records that share a group or a near-duplicate cluster, or are linked by a chain of those."""
    return related(*(dataset.records[column].to_numpy()[indices].tolist() for column in ("group", "cluster")))
