"""What the mixing operator is held to, each bar with what was measured; only those whose figures are there."""

from collections.abc import Iterator
from typing import Any

GIB = 2**30
OURS = "paramixer-cdil"
PEERS = ("attention", "convolution", "convolution-dense", "rotation", "fft")
_LONG = {262_144: 0.60, 1_048_576: 0.45}
"""Length -> the part of the speed at the base length that must be left, all timed in turn."""
BASE, _MILLION = 16_384, 1_048_576
_SHORTEST_PEER, _FFT_FROM, _FFT_LEAD = 4_096, 16_384, 1.3


def bars(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of name, value, aim, whether the aim is a least or a most, and whether it is met."""
    rows = {(row["operator"], row["length"]): row for row in figures.get("lengths", [])}
    found = [*_published(figures), *_long(rows), *_memory(rows, figures), *_peers(rows)]
    return [
        {"name": name, "value": value, "aim": aim, "kind": kind, "met": bool(value >= aim if kind == "least" else value <= aim)}
        for name, value, aim, kind in found
    ]


Bar = tuple[str, float, float, str]


def _published(figures: dict[str, Any]) -> Iterator[Bar]:
    if "published" not in figures:
        return
    found = figures["published"]
    yield "training step, times the published formulation's speed", figures["train_speedup"], 6, "least"
    yield "inference, times the published formulation's speed", figures["inference_speedup"], 6, "least"
    yield "training step, times the floor", found["train_over_floor"], 2.5, "most"
    yield "inference, times the floor", found["inference_over_floor"], 2.5, "most"
    yield "peak extra memory, part of the published formulation's", figures["memory_ratio"], 0.1, "most"
    for kind, kept in found.get("default_allocator", {}).get("speed_kept", {}).items():
        yield f"{kind}, part of its speed kept under glibc's own thresholds", kept, 0.9, "least"


def _long(rows: dict[tuple[str, int], dict[str, Any]]) -> Iterator[Bar]:
    for length, aim in _LONG.items():
        part = rows.get(("dna", length), {}).get("part_of_base_speed")
        if part:
            yield f"dna, tokens/s at {length:,} positions, part of that at {BASE:,}", part, aim, "least"


def _memory(rows: dict[tuple[str, int], dict[str, Any]], figures: dict[str, Any]) -> Iterator[Bar]:
    for name in ("dna", "dna-recomputed"):
        peak = rows.get((name, _MILLION), {}).get("peak_bytes")
        if peak:
            yield f"{name}, peak memory of a training step at {_MILLION:,} positions (GiB)", peak / GIB, 3.0, "most"
    preset = figures.get("preset")
    if preset and preset["bases"] >= 1_000_000:
        yield (
            f"preset {preset['preset']}, peak memory of a training step on {preset['bases']:,} bases (GiB)",
            preset["peak_bytes"] / GIB,
            6,
            "most",
        )


def _peers(rows: dict[tuple[str, int], dict[str, Any]]) -> Iterator[Bar]:
    """A lead is that of one run, in which both were timed in turn."""
    for length in sorted({length for _, length in rows if length >= _SHORTEST_PEER}):
        for peer in PEERS:
            lead = rows.get((peer, length), {}).get("paramixer_speedup")
            if lead:
                aim = _FFT_LEAD if peer == "fft" and length >= _FFT_FROM else 1
                yield f"{OURS}, training speed at {length:,} positions, times that of {peer}", lead, aim, "least"
    memory = [rows.get((name, _MILLION), {}).get("peak_extra_bytes", 0) for name in (OURS, "fft")]
    if all(memory):
        yield f"{OURS}, peak extra memory at {_MILLION:,} positions, part of that of fft", memory[0] / memory[1], 0.2, "most"
