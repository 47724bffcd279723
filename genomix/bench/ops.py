"""`genomix bench ops`: the mixing operator beside the published formulation and beside its peers.

The order: compare all sides; the published settings, under each allocator setting; then, for every operator from short to long, one step in a process of its
own for its memory; what stayed within the limits is timed, length by length, in turn; last a preset's step on a long record.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from genomix.bench.bars import BASE, OURS, bars
from genomix.bench.children import ALLOCATOR, Stopped, measured
from genomix.errors import UsageError

_log = logging.getLogger(__name__)

Part = Literal["published", "lengths", "preset"]
PARTS: tuple[Part, ...] = ("published", "lengths", "preset")
LENGTHS = (1_024, 4_096, 16_384, 65_536)
_MEMORY_SHARE = 0.8
"""Of the memory that is free at the start, what one step may have."""
_LEAST, _MOST = 64, 16_777_216
"""Positions."""
_SHORT = 4_096
"""Positions below which a step's time says nothing of longer ones."""


@dataclass(frozen=True, slots=True)
class OpsPlan:
    """What to measure.

    Attributes:
        lengths: positions of the records that the operators are timed on.
        operators: names of `genomix.bench.operators.OPERATORS`.
        rounds: timed rounds, of which the median is taken.
        limit: seconds that one step may take; an operator whose step takes longer, or would, is left out at that length and beyond.
        memory: bytes that one step may have; None is most of what is free.
        bases: of the record for the preset.
    """

    lengths: tuple[int, ...] = LENGTHS
    operators: tuple[str, ...] = ()
    parts: tuple[Part, ...] = PARTS
    rounds: int = 5
    limit: float = 10.0
    memory: int | None = None
    device: str = "cpu"
    dtype: str = "float32"
    preset: str = "long"
    bases: int = 1_000_000

    @property
    def where(self) -> dict[str, Any]:
        """Device and precision, as every task takes them."""
        return {"device": self.device, "dtype": self.dtype}


@dataclass(slots=True)
class OpsOutcome:
    """What came of it; `figures` is empty where the comparison is red."""

    comparisons: list[Any]
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def agree(self) -> bool:
        return all(comparison.agrees for comparison in self.comparisons)

    @property
    def compared(self) -> list[dict[str, Any]]:
        """The comparisons as they are written."""
        return [asdict(each) for each in self.comparisons]


def bench_ops(plan: OpsPlan, earlier: dict[str, Any] | None = None, progress: Callable[[str], None] = _log.info) -> OpsOutcome:
    """Compare, then measure.

    Args:
        earlier: figures to which those of this run are added.
        progress: is told what is being measured.
    """
    from genomix.bench import equality

    progress("comparing results")
    outcome = OpsOutcome(equality.compare_all(plan.device, plan.dtype, plan.operators))
    if not outcome.agree:
        return outcome
    figures: dict[str, Any] = dict(earlier or {}) | plan.where | {"allocator": ALLOCATOR, "rounds": plan.rounds}
    if "published" in plan.parts:
        progress("the published settings")
        found = _published(plan)
        outcome.comparisons.append(equality.Comparison("dna: on the input that is timed", found["error"], found["tolerance"]))
        if not outcome.agree:
            return outcome
        figures |= {name: found.pop(name) for name in ("train_speedup", "inference_speedup", "memory_ratio")} | {"published": found}
    if "lengths" in plan.parts:
        rows = {(row["operator"], row["length"]): row for row in [*figures.get("lengths", []), *_lengths(plan, progress)]}
        figures["lengths"] = sorted(rows.values(), key=lambda row: (row["length"], row["operator"]))
    if "preset" in plan.parts:
        progress(f"preset {plan.preset}")
        figures["preset"] = measured("preset", tuned=False, preset=plan.preset, bases=plan.bases, **plan.where)
    compared = {each["name"]: each for each in [*figures.get("comparisons", []), *outcome.compared]}
    outcome.figures = figures | {"comparisons": list(compared.values()), "bars": bars(figures)}
    return outcome


def _published(plan: OpsPlan) -> dict[str, Any]:
    """The published settings: ours against the published formulation and the floor, memory, and the same under glibc's own thresholds."""
    tuned = measured("published", rounds=plan.rounds, **plan.where)
    memory = {name: _memory_at_published(name, plan) for name in ("dna", "dna-published")}
    found = dict(tuned) | {"peak_extra_bytes": memory, "memory_ratio": memory["dna"] / memory["dna-published"]}
    for kind in ("train", "inference"):
        seconds = tuned[f"{kind}_seconds"]
        floor = tuned["link_perceptrons_flop"] * (3 if kind == "train" else 1) / tuned["product_flop_per_second"]
        found[f"{kind}_speedup"] = seconds["published"] / seconds["ours"]
        found[f"{kind}_speedup_over_sum"] = seconds["published_summed"] / seconds["ours"]
        found[f"{kind}_floor_seconds"], found[f"{kind}_over_floor"] = floor, seconds["ours"] / floor
    found["factor_bytes_per_second"] = tuned["factor_bytes"] / tuned["inference_seconds"]["ours"]
    if plan.device == "cpu":
        found["default_allocator"] = _default_allocator(plan)
    return found


def _memory_at_published(name: str, plan: OpsPlan) -> int:
    from genomix.bench.operators import DNA_BATCH, DNA_LENGTH

    return int(measured("step", tuned=False, operator=name, length=DNA_LENGTH, batch=DNA_BATCH, **plan.where)["peak_extra_bytes"])


def _default_allocator(plan: OpsPlan) -> dict[str, Any]:
    """Both sides under glibc's own thresholds; `speed_kept` is ours under `ALLOCATOR` over ours there.

    A process has one setting, and a machine that others share is not as fast a minute later: so ours has two processes of each, A B B A, of which means are taken.
    """
    found = measured("published", tuned=False, rounds=plan.rounds, **plan.where)
    kinds, seconds = ("train", "inference"), dict[bool, list[dict[str, float]]]({True: [], False: []})
    for tuned in (True, False, False, True):
        seconds[tuned].append(measured("ours", tuned=tuned, rounds=plan.rounds, **plan.where))
    kept = {kind: sum(each[kind] for each in seconds[True]) / sum(each[kind] for each in seconds[False]) for kind in kinds}
    return {f"{kind}_seconds": found[f"{kind}_seconds"] for kind in kinds} | {"speed_kept": kept}


def _lengths(plan: OpsPlan, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row an operator and length: memory and speed, or why not."""
    import torch

    from genomix.planning import free_memory

    memory = plan.memory or int((free_memory(torch.device(plan.device)) or 2**62) * _MEMORY_SHARE)
    rows = [row for operator in plan.operators for row in _steps(operator, plan, memory, progress)]
    for length in sorted(set(plan.lengths)):
        here = [row for row in rows if row["length"] == length and "left_out" not in row]
        if here:
            progress(f"speed at {length:,} positions")
            _time_together(here, length, plan)
    if longer := [row for row in rows if row["operator"] == "dna" and row["length"] > BASE and "left_out" not in row]:
        progress(f"speed of dna at these lengths and {BASE:,} positions in turn")
        try:
            _against_base(longer, plan)
        except Stopped as stopped:
            progress(f"no figure: {stopped}")
    return rows


def _steps(operator: str, plan: OpsPlan, memory: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """One step at each length, from short to long, until one is too much."""
    rows: list[dict[str, Any]] = []
    for length in sorted(set(plan.lengths)):
        row: dict[str, Any] = {"operator": operator, "length": length}
        reason = _too_much(rows, length, plan, memory)
        if reason is None:
            progress(f"memory of {operator} at {length:,} positions")
            try:
                row |= measured("step", tuned=False, seconds=10 * plan.limit, operator=operator, length=length, batch=1, **plan.where)
            except Stopped as stopped:
                reason = str(stopped)
            else:
                slow = row["step_seconds"] > plan.limit
                reason = f"beyond the limit of {plan.limit:,.0f} s a step: {row['step_seconds']:.1f} s" if slow else None
        rows.append(row if reason is None else row | {"left_out": reason})
    return rows


def _too_much(rows: Sequence[dict[str, Any]], length: int, plan: OpsPlan, memory: int) -> str | None:
    """Why this length isn't tried: a shorter one was left out, or took so much that this one, in proportion to its length alone, is beyond a limit."""
    if not rows:
        return None
    last = rows[-1]
    if "left_out" in last:
        return str(last["left_out"])
    times = length / last["length"]
    seconds, at = last["step_seconds"] * times, f"at {last['length']:,} positions"
    if last["length"] >= _SHORT and seconds > plan.limit:
        return f"beyond the limit of {plan.limit:,.0f} s a step: {last['step_seconds']:.1f} s {at}"
    if last["peak_bytes"] + last["peak_extra_bytes"] * (times - 1) > memory:
        return f"beyond the limit of {memory / 2**30:.1f} GiB a step: {last['peak_bytes'] / 2**30:.1f} GiB {at}"
    return None


def _time_together(rows: Sequence[dict[str, Any]], length: int, plan: OpsPlan) -> None:
    """Time the operators of one length in turn, or one by one where that fails, and add what was found to their rows."""
    try:
        seconds = measured("speeds", chosen=[row["operator"] for row in rows], length=length, rounds=plan.rounds, **plan.where)
    except Stopped as stopped:
        for row in rows:
            if len(rows) > 1:  # together they may need more memory than there is
                _time_together([row], length, plan)
            else:
                row["left_out"] = str(stopped)
        return
    for row in rows:
        own = seconds[row["operator"]]
        row |= {"train_seconds": own, "tokens_per_second": length / own}
        if OURS in seconds:  # of this run: rows of other runs may stand beside it in the file
            row["paramixer_speedup"] = own / seconds[OURS]


def _against_base(rows: Sequence[dict[str, Any]], plan: OpsPlan) -> None:
    """Add to rows of one operator how much of its speed at the base length is left at theirs, timed in turn in one process."""
    lengths = [BASE, *(row["length"] for row in rows)]
    base, *others = measured("scaling", operator=rows[0]["operator"], lengths=lengths, rounds=plan.rounds, **plan.where)["per_position"]
    for row, own in zip(rows, others, strict=True):
        row["part_of_base_speed"] = base / own


def chosen_lengths(words: str) -> tuple[int, ...]:
    """Lengths as the command line has them.

    Raises:
        UsageError: one is no number of positions.
    """
    found = [word.strip().replace("_", "") for word in words.split(",")]
    wrong = [word for word in found if not word.isascii() or not word.isdigit() or not _LEAST <= int(word) <= _MOST]
    if wrong:
        raise UsageError(f"--lengths: expected numbers from {_LEAST} to {_MOST:,} with commas between, found {wrong[0]!r}")
    return tuple(sorted({int(word) for word in found}))


def chosen_operators(words: str) -> tuple[str, ...]:
    """Operators as the command line has them.

    Raises:
        UsageError: one is unknown.
    """
    from genomix.bench.operators import OPERATORS

    if words == "all":
        return tuple(OPERATORS)
    found = tuple(dict.fromkeys(word.strip() for word in words.split(",")))
    unknown = [word for word in found if word not in OPERATORS]
    if unknown:
        raise UsageError(f"--operators: unknown operator {unknown[0]!r}", hint=f"known: {', '.join(OPERATORS)}, or all")
    return found
