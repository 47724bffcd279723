"""What records of any length cost, from short ones.

What a network does to P positions it does to each of them, in F mixing steps, so its bytes and seconds are

    a + b P + c P F(P)        (attention, which compares all positions with all: a + b P + c P^2)

and three lengths tell a, b and c. None can be negative: they are found by non-negative least squares on the relative error. Of bytes nothing else is to be
found, the fit is exact; of seconds it is an estimate, as short records fit into caches and long ones do not.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from genomix.data.masking import Hiding
from genomix.nn.classifier import ModelSettings
from genomix.nn.mixers.paramixer import inputs_kept
from genomix.planning.measure import Precision, Sample, Specimen, Way
from genomix.planning.memory import LATER, SOONER, process_memory
from genomix.planning.pretraining import PretrainingSpecimen

WAYS: tuple[Way, ...] = ("prediction", "plain", "recomputed")

Part = tuple[int, int]
"""Records of a padded batch, and its tokens a record."""

_POSITIONS, _TIMED_POSITIONS = 1_024, 4_096
"""Of the longest record that is measured, and of the one that is timed too; the others are a half and a quarter of it."""
_GAPS: dict[Way, tuple[float, int]] = {"plain": (0.3, 48 * LATER), "recomputed": (1.2, 48 * SOONER), "prediction": (1.2, 48 * LATER)}
"""What the gaps in a process's heap come to, and in prediction the records read ahead: a fraction of the bytes of its tensors, and at most; found by
`benchmarks/plan.py`. Gaps are between buffers too small to be given back when they are freed (see `return_freed_memory`)."""
_MOMENTS, _AVERAGE = 2, 1
"""Numbers that training holds for each weight beside itself, and beside its gradient, which is a step's own."""
_LONGEST = 2**40


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one way to go through the network: the coefficients a, b and c of each quantity."""

    kept: np.ndarray
    peak: np.ndarray
    seconds: np.ndarray | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Of the positions that pretraining's head answers for at once.

    Attributes:
        positions: of a record in which so many are asked for; what the head works with does not grow beyond them.
        sizes: bytes that it works with on them, beside what it keeps.
    """

    positions: float
    sizes: dict[Way, int]


@dataclass(frozen=True, slots=True)
class Costs:
    """What a network needs on one device.

    Attributes:
        settings: of the network, which says how many mixing steps a record takes.
        numbers: that its weights and buffers are.
        heap: whether tensors lie in the process's heap, which has gaps; not on an accelerator.
        bases: bytes of main memory that a process takes when it has the libraries and the network, and one short record has been through; 0 for an accelerator.
        chunk: what pretraining's head works with; None for a classifier.
    """

    settings: ModelSettings
    numbers: int
    heap: bool
    bases: dict[Way, int]
    ways: dict[Way, Cost]
    chunk: Chunk | None = None

    @property
    def resting(self) -> int:
        """Bytes that training holds beside its base when no record is there."""
        return 4 * self.numbers * (_MOMENTS + _AVERAGE)

    @property
    def growth(self) -> int:
        """Those of them that the first update adds."""
        return 4 * self.numbers * _MOMENTS

    def update(self, parts: Sequence[Part], way: Way) -> int:
        """Most bytes that a training step adds to what is there.

        The graphs of all its parts are there when the first backward pass begins, and one part at a time is worked on.
        """
        cost, terms = self.ways[way], [self._terms(*part) for part in parts]
        spared, again = zip(*(self._computed_again(each, way) for each in terms), strict=True)
        held = sum(float(each @ cost.kept) for each in terms) - sum(spared)
        worked_with = max(max(float(each @ (cost.peak - cost.kept)), self._of_chunk(each, way)) for each in terms) + max(again)
        return self._with_gaps(held + worked_with, way)

    def prediction(self, part: Part) -> int:
        """Most bytes that a batch adds in prediction."""
        return self._with_gaps(float(self._terms(*part) @ self.ways["prediction"].peak), "prediction")

    def seconds(self, parts: Sequence[Part], way: Way) -> float:
        """That a training step, or the prediction of these batches, takes; raises ValueError where the time was not measured."""
        coefficients = self.ways[way].seconds
        if coefficients is None:
            raise ValueError("only the memory was measured")
        return sum(float(self._terms(*part) @ coefficients) for part in parts)

    def longest(self, memory: float, way: Way) -> int:
        """Tokens of the longest record that needs no more than so many bytes; 0 where none does. The network's own limit is not looked at."""

        def need(tokens: int) -> int:
            return self.prediction((1, tokens)) if way == "prediction" else self.update([(1, tokens)], way)

        return bisect_right(range(1, _LONGEST), memory, key=need)

    def _computed_again(self, each: np.ndarray, way: Way) -> tuple[float, float]:
        """Of a part so long that its mixers do not keep what goes into all factors: the bytes that this spares, and those held while it is computed again."""
        mixer, blocks = self.settings.block.mixer, self.settings.blocks
        kept, steps = float(each[2] * self.ways[way].kept[2]), round(each[2] / each[1])
        if way != "plain" or not self.heap or mixer.kind != "paramixer" or mixer.weights == "static" or not kept:
            return 0.0, 0.0
        size = kept / blocks / steps  # nothing else that is kept grows with the steps
        number = inputs_kept(size, steps)
        return blocks * (steps - number) * size, (-(-steps // number) - 1) * size

    def _of_chunk(self, each: np.ndarray, way: Way) -> float:
        return 0.0 if self.chunk is None else self.chunk.sizes[way] * min(1.0, each[1] / self.chunk.positions)

    def _with_gaps(self, size: float, way: Way) -> int:
        fraction, most = _GAPS[way] if self.heap else (0.0, 0)
        return int(size + min(fraction * size, most))

    def _terms(self, records: int, tokens: int) -> np.ndarray:
        return terms(self.settings, records, tokens)


def terms(settings: ModelSettings, records: int, tokens: int) -> np.ndarray:
    """1, P and P F(P), or P^2, of a batch; in place of 1 the records where each is as long as the network, for its head."""
    positions = -(-tokens // settings.patch)
    mixer, once = settings.block.mixer, float(records) if settings.fixed_length else 1.0
    if mixer.kind == "attention":
        return np.array([once, records * positions, records * positions**2])
    most = -(-settings.max_tokens // settings.patch)
    return np.array([once, records * positions, records * positions * mixer.steps(min(positions, most))])


def measured_costs(
    settings: ModelSettings,
    vocabulary: int,
    device: torch.device,
    precision: Precision,
    *,
    ways: tuple[Way, ...] = WAYS,
    timed: bool = False,
    hiding: Hiding | None = None,
) -> Costs:
    """Run a network of these settings on three short records, and fit. Random numbers elsewhere are not touched.

    Args:
        vocabulary: see `Classifier`.
        timed: measure seconds too.
        hiding: of pretraining, whose network and loss are measured then; None for a classifier.
    """
    return _measured(settings.model_dump_json(), vocabulary, device, precision, ways, timed=timed, hiding=hiding)


@lru_cache(maxsize=16)
def _measured(
    settings_json: str,
    vocabulary: int,
    device: torch.device,
    precision: Precision,
    ways: tuple[Way, ...],
    *,
    timed: bool,
    hiding: Hiding | None,
) -> Costs:
    settings = ModelSettings.model_validate_json(settings_json)
    most = -(-settings.max_tokens // settings.patch)
    if not settings.fixed_length:  # one tied to its length holds as much for a short record as for a long one
        most = min(_TIMED_POSITIONS if timed else _POSITIONS, most)
    lengths = [settings.patch * positions for positions in sorted({max(1, most // 4), max(1, most // 2), most})]
    samples: dict[Way, list[Sample]] = {way: [] for way in ways}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        specimen = (
            PretrainingSpecimen(settings, vocabulary, device, precision, hiding=hiding)
            if hiding
            else Specimen(settings, vocabulary, device, precision)
        )
        bases: dict[Way, int] = {}
        for tokens in lengths:
            for way in ways:  # prediction first: training loads more
                samples[way].append(specimen.sample(tokens, way, timed=timed))
                bases.setdefault(way, process_memory() if device.type == "cpu" else 0)
        chunk = _chunk(specimen, ways) if isinstance(specimen, PretrainingSpecimen) else None
    numbers = sum(tensor.numel() for tensor in specimen.network.state_dict().values())
    return Costs(settings, numbers, device.type == "cpu", bases, {way: _fitted(settings, found) for way, found in samples.items()}, chunk)


def _chunk(specimen: PretrainingSpecimen, ways: tuple[Way, ...]) -> Chunk:
    sizes: dict[Way, int] = {way: specimen.chunk_bytes(way) for way in ways if way != "prediction"}
    return Chunk(specimen.chunk / specimen.hiding.settings.share, sizes)


def _fitted(settings: ModelSettings, samples: list[Sample]) -> Cost:
    table = np.stack([terms(settings, 1, sample.tokens) for sample in samples])
    seconds = [sample.seconds for sample in samples if sample.seconds is not None]
    return Cost(
        kept=_coefficients(table, [sample.kept for sample in samples]),
        peak=_coefficients(table, [sample.peak for sample in samples]),
        seconds=_coefficients(table, seconds) if seconds else None,
    )


def _coefficients(table: np.ndarray, values: Sequence[float]) -> np.ndarray:
    from scipy.optimize import nnls  # slow to load, and prediction plans nothing

    weights = 1 / np.maximum(values, 1e-9)
    return nnls(table * weights[:, None], np.ones(len(values)))[0]
