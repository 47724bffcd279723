"""Figures as tables of plain text, for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any


def comparison_lines(comparisons: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What was compared, and how far apart it is."""
    for each in comparisons:
        verdict = "agrees" if each["error"] <= each["tolerance"] else "DIFFERS"
        yield f"{verdict}: {each['name']}: {each['error']:.1e} (at most {each['tolerance']:.0e})"


def ops_lines(figures: dict[str, Any]) -> Iterator[str]:
    """All of `genomix bench ops`."""
    if "published" in figures:
        yield from ("", *_published_lines(figures))
    if figures.get("lengths"):
        yield from ("", *_length_lines(figures["lengths"]))
    if "preset" in figures:
        found = figures["preset"]
        yield ""
        yield (
            f"preset {found['preset']}, one training step on a record of {found['bases']:,} bases: "
            f"{found['seconds']:.2f} s, {_speed(found['tokens_per_second'])} tokens/s, peak memory {in_bytes(found['peak_bytes'])}"
        )
    if figures.get("bars"):
        yield from ("", *_bar_lines(figures["bars"]))


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of cells, the first cell of each to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=False))]
        yield "  ".join(cells).rstrip()


def _published_lines(figures: dict[str, Any]) -> Iterator[str]:
    found = figures["published"]
    yield f"published DNA settings (16,384 positions, 32 channels, CHORD, batch 2), {figures['device']}, {figures['dtype']}"
    rows = [["seconds", "ours", "published", "by a plain sum", "floor", "speed-up", "over the sum", "times the floor"]]
    for kind in ("train", "inference"):
        seconds = found[f"{kind}_seconds"]
        names = ("ours", "published", "published_summed")
        times = [*(f"{seconds[name]:.4f}" for name in names), f"{found[f'{kind}_floor_seconds']:.4f}"]
        gains = (figures[f"{kind}_speedup"], found[f"{kind}_speedup_over_sum"], found[f"{kind}_over_floor"])
        rows.append([kind, *times, *(f"{gain:.2f}" for gain in gains)])
    yield from columns(rows)
    yield f"floor: the link perceptrons' products at {found['product_flop_per_second'] / 1e9:,.0f} GFLOP/s, this run's rate of a large product"
    moved, copied = found["factor_bytes_per_second"] / 1e9, found["copy_bytes_per_second"] / 1e9
    yield f"factors, forward: {moved:,.1f} GB/s achieved; a copy on this device: {copied:,.1f} GB/s"
    peaks = found["peak_extra_bytes"]
    yield f"peak extra memory of a training step: {in_bytes(peaks['dna'])}, published {in_bytes(peaks['dna-published'])}: {figures['memory_ratio']:.3f}"
    if "default_allocator" in found:
        kept = found["default_allocator"]["speed_kept"]
        yield f"with glibc's own allocator thresholds: {kept['train']:.2f} of the training speed, {kept['inference']:.2f} of the inference speed"


def _length_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Sorted by speed within a length, what was left out last."""
    table = [["one training step, one record", "positions", "parameters", "tokens/s", "peak extra memory"]]
    ordered = sorted(rows, key=lambda row: (row["length"], row["operator"].startswith("dna"), -row.get("tokens_per_second", 0)))
    for row in ordered:
        parameters = f"{row['parameters']:,}" if "parameters" in row else ""
        memory = in_bytes(row["peak_extra_bytes"]) if "peak_extra_bytes" in row else "-"
        speed = "-" if "left_out" in row else _speed(row["tokens_per_second"])
        table.append([row["operator"], f"{row['length']:,}", parameters, speed, memory])
    for line, row in zip(columns(table), [{}, *ordered], strict=True):
        yield f"{line}  left out: {row['left_out']}" if "left_out" in row else line


def _bar_lines(bars: Sequence[dict[str, Any]]) -> Iterator[str]:
    rows = [["bar", "measured", "aim", ""]]
    for bar in bars:
        aim = f"{'at least' if bar['kind'] == 'least' else 'at most'} {bar['aim']:g}"
        rows.append([bar["name"], f"{bar['value']:.3g}", aim, "met" if bar["met"] else "NOT MET"])
    yield from columns(rows)


def _speed(tokens: float) -> str:
    return f"{tokens / 1000:,.1f} k" if tokens < 1e7 else f"{tokens / 1e6:,.1f} M"


def in_bytes(size: float) -> str:
    """A size for people."""
    return f"{size / 2**30:,.2f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
