"""Draws time and memory of a training step against the length of the record, on log axes, a line an operator."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from genomix.outputs import atomic_file
from genomix.report.svg import Axis, element, picture

_COLOURS = {
    "paramixer-cdil": "#1f5fbf", "paramixer-chord": "#6fa8ff", "attention": "#c2590c", "convolution": "#8a3ffc", "convolution-dense": "#c9a3ff",
    "rotation": "#b8860b", "fft": "#0f766e", "dna": "#444444", "dna-recomputed": "#d6336c", "dna-published": "#b0b0b0",
}  # fmt: skip
_WIDTH, _HEIGHT, _PANEL, _LEFT, _TOP, _BOTTOM = 940, 430, 470, 78, 44, 330
_DESCRIPTION = "Time and memory of a training step against the length of the record, for each operator"
_STYLE = "text { font: 12px sans-serif; fill: #333 } .title { font-weight: bold } polyline { fill: none; stroke-width: 2 } .grid { stroke: #e2e2e2 }"

Row = dict[str, Any]


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Write the picture as SVG; what was left out has no point.

    Raises:
        OutputError: it can't be written.
    """
    shown = [row for row in rows if "left_out" not in row]
    panels = [
        _panel(shown, 0, f"Seconds a training step ({title})", lambda row: row["train_seconds"], _seconds),
        _panel(shown, _PANEL, f"Peak extra memory of a step ({title})", lambda row: row["peak_extra_bytes"] / 2**20, _mebibytes),
    ]
    present = [name for name in _COLOURS if any(row["operator"] == name for row in shown)]
    background = element("rect", width=_WIDTH, height=_HEIGHT, fill="#fff")
    drawing = picture(_WIDTH, _HEIGHT, _DESCRIPTION, element("style", Markup(_STYLE)), background, *panels, *_legend(present))  # noqa: S704 - constant text
    with atomic_file(path) as file:
        file.write(f"{drawing}\n")


def is_plot(path: Path) -> bool:
    """Whether `draw` wrote this file."""
    with path.open("rb") as file:
        return _DESCRIPTION.encode() in file.read(500)


def _panel(rows: Sequence[Row], left: int, title: str, value: Callable[[Row], float], text: Callable[[float], str]) -> Markup:
    lengths = sorted({row["length"] for row in rows}) or [1, 2]
    values = [max(value(row), 1e-9) for row in rows] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    x = Axis(math.log2(lengths[0]) - 0.4, math.log2(lengths[-1]) + 0.4, left + _LEFT, left + _PANEL - 14)
    y = Axis(low, max(high, low + 1), _BOTTOM, _TOP)
    parts = [element("text", title, x=(x.start + x.end) / 2, y=_TOP - 16, text_anchor="middle", class_="title")]
    for power in range(low, max(high, low + 1) + 1):
        height = y.at(power)
        parts.append(element("line", x1=x.start, x2=x.end, y1=height, y2=height, class_="grid"))
        parts.append(element("text", text(10.0**power), x=x.start - 8, y=height + 4, text_anchor="end"))
    for length in lengths:
        across = x.at(math.log2(length))
        parts.append(element("line", x1=across, x2=across, y1=y.start, y2=y.end, class_="grid"))
        parts.append(element("text", _short(length), x=across, y=_BOTTOM + 18, text_anchor="middle"))
    parts.append(element("text", "positions", x=(x.start + x.end) / 2, y=_BOTTOM + 36, text_anchor="middle"))
    lines = [_line(name, [row for row in rows if row["operator"] == name], x, y, value) for name in _COLOURS]
    return Markup("").join([*parts, *lines])


def _line(name: str, rows: Sequence[Row], x: Axis, y: Axis, value: Callable[[Row], float]) -> Markup:
    parts, points = [], []
    for row in sorted(rows, key=lambda row: row["length"]):
        across, up = x.at(math.log2(row["length"])), y.at(math.log10(max(value(row), 1e-9)))
        tip = element("title", f"{name}, {row['length']:,} positions: {value(row):.4g}")
        parts.append(element("circle", tip, cx=across, cy=up, r=3.5, fill=_COLOURS[name]))
        points.append(f"{across:.1f},{up:.1f}")
    dashes = {"stroke_dasharray": "5 4"} if name.startswith("dna") else {}
    return Markup("").join([element("polyline", points=" ".join(points), stroke=_COLOURS[name], **dashes), *parts])


def _legend(names: Sequence[str]) -> list[Markup]:
    """Five names a row."""
    parts = []
    for number, name in enumerate(names):
        left, height = 40.0 + 178 * (number % 5), _HEIGHT - 38 + 20 * (number // 5)
        parts.append(element("circle", cx=left, cy=height, r=4.0, fill=_COLOURS[name]))
        parts.append(element("text", name, x=left + 9, y=height + 4))
    return parts


def _short(length: int) -> str:
    if length % 2**20 == 0:
        return f"{length >> 20} M"
    return f"{length >> 10} k" if length % 2**10 == 0 else f"{length:,}"


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms"


def _mebibytes(value: float) -> str:
    return f"{value:,g} MiB"
