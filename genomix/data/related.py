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


def drawn_together(dataset: Dataset, indices: np.ndarray) -> np.ndarray | None:
    """Names of what a bootstrap draws, and a fold leaves out, together: records of one group or near-duplicate cluster, of one cluster, or single records (None).

    The first of these that leaves every class at least two: of classes that hang together whole nothing can be drawn.
    """
    group, cluster = (dataset.records[column].to_numpy()[indices].tolist() for column in ("group", "cluster"))
    labels = dataset.label_ids[indices]
    for together in (related(group, cluster), related(cluster)):
        if all(len(np.unique(together[labels == label])) > 1 for label in np.unique(labels)):
            return together.astype(str)
    return None
