"""Labels with ranks: `Bacteria;Proteobacteria;Escherichia` is a leaf of a tree, and what stands before each `;` a node above it.

A class is always a leaf, under its whole label. The probability of a node is the sum over the leaves below it, so every figure of a rank comes from the
same leaf probabilities. Nodes are told apart by their whole path: one name below two parents is two nodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEPARATOR = ";"


@dataclass(frozen=True, slots=True)
class Choice:
    """The node that a record is given.

    Attributes:
        label: its path; empty where no rank passes.
        rank: levels of the path, 0 where there is none.
        probability: of the node; where no rank passes, of the best node of the first rank.
        margin: that less the probability of the next best node of the same rank.
    """

    label: str
    rank: int
    probability: float
    margin: float


class Ranks:
    """The tree above a model's classes.

    Attributes:
        nodes: of each rank, the paths of its nodes, sorted; those of the last rank are the classes.
        node_of_class: int64 [rank, class], which node of the rank a class is below.
    """

    def __init__(self, paths: Sequence[tuple[str, ...]]) -> None:
        self.nodes: list[tuple[str, ...]] = []
        numbers = []
        for rank in range(1, len(paths[0]) + 1):
            above = [SEPARATOR.join(path[:rank]) for path in paths]
            nodes = sorted(set(above))
            place = {name: number for number, name in enumerate(nodes)}
            numbers.append([place[name] for name in above])
            self.nodes.append(tuple(nodes))
        self.node_of_class = np.array(numbers, dtype=np.int64)

    def __len__(self) -> int:
        """Levels of every label."""
        return len(self.nodes)

    def sums(self, probabilities: np.ndarray, rank: int) -> np.ndarray:
        """Probabilities of classes [..., class] -> of the nodes of a rank (from 1) [..., node]."""
        nodes = np.zeros((len(self.nodes[rank - 1]), *probabilities.shape[:-1]))
        np.add.at(nodes, self.node_of_class[rank - 1], np.moveaxis(probabilities, -1, 0))
        return np.moveaxis(nodes, 0, -1).clip(max=1.0)  # a sum of all leaves may exceed 1 in the last digit

    def labels(self, labels: np.ndarray, rank: int) -> np.ndarray:
        """Classes of records, int [record] -> their nodes of a rank (from 1)."""
        return self.node_of_class[rank - 1][labels]

    def choose(self, probabilities: np.ndarray, threshold: float) -> Choice:
        """The best node of the deepest rank whose best node has at least `threshold`.

        Above 0.5 at most one node of a rank passes, so the choices of all ranks lie on one path. Below it the best leaf may lie outside the best node of
        the rank above: the deeper rank is believed.

        Args:
            probabilities: of one record, float64 [class].
        """
        for rank in range(len(self), 0, -1):
            sums = self.sums(probabilities, rank)
            best = int(sums.argmax())
            probability, next_best = float(sums[best]), float(np.delete(sums, best).max(initial=0.0))
            if probability >= threshold:
                return Choice(self.nodes[rank - 1][best], rank, probability, probability - next_best)
        return Choice("", 0, probability, probability - next_best)


def levels(label: str) -> tuple[str, ...]:
    """The names of a label's levels, without the blanks around them; a `;` at the very end closes the last level."""
    return tuple(name.strip() for name in label.removesuffix(SEPARATOR).split(SEPARATOR))


def ranks_of(classes: Sequence[str]) -> Ranks | None:
    """The tree above these classes; None where they are plain names.

    They are a tree's leaves when all have the same number of levels, two or more. `preprocess` writes no others with a `;`, so classes of unequal depth
    come from elsewhere and are plain names.
    """
    paths = [tuple(name.split(SEPARATOR)) for name in classes]
    depths = {len(path) for path in paths}
    return Ranks(paths) if len(depths) == 1 and depths != {1} else None
