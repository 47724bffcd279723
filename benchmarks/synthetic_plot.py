"""Draws the results of synthetic.py: error against length, a panel a task and readout, a line a model."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from genomix.report.svg import Axis, element, picture

COLOURS = {
    "paramixer-cdil": "#1f5fbf", "paramixer-chord": "#6fa8ff", "static-cdil": "#0f766e", "static-chord": "#5ec9bd",
    "attention": "#c2590c", "convolution": "#8a3ffc", "rotation": "#b8860b", "none": "#7b8794",
}  # fmt: skip
NAMES = {"adding": "Adding", "order": "Temporal Order"}
PANEL, HEIGHT, LEFT, TOP, BOTTOM = 330, 340, 56, 40, 250
LOWEST = 0.0005
"""Bottom of the error axis: one sequence of 2,000. What is lower is drawn there."""
STYLE = "text { font: 12px sans-serif; fill: #333 } polyline { fill: none; stroke-width: 2 } .grid { stroke: #ddd } .bar { stroke: #333; stroke-dasharray: 4 4 }"

Panel = dict[str, list[dict[str, Any]]]


def draw(rows: list[dict[str, Any]], path: Path, bar: float) -> None:
    """Write the picture. Several seeds of a model and length are drawn as their mean."""
    panels: dict[tuple[str, str], Panel] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        panels[row["task"], row["readout"]][row["model"]].append(row)
    lengths = sorted({row["length"] for row in rows})
    parts = [panel(name, models, lengths, bar, PANEL * number) for number, (name, models) in enumerate(sorted(panels.items()))]
    shown = [model for model in COLOURS if any(model in models for models in panels.values())]
    description = "Error against sequence length, for each mixer"
    background = element("rect", width=PANEL * len(parts), height=HEIGHT, fill="#fff")
    drawing = picture(PANEL * len(parts), HEIGHT, description, element("style", Markup(STYLE)), background, *parts, *legend(shown))
    path.write_text(f"{drawing}\n", encoding="utf-8")


def panel(name: tuple[str, str], models: Panel, lengths: list[int], bar: float, left: int) -> Markup:
    task, readout = name
    x = Axis(math.log2(lengths[0]) - 0.3, math.log2(lengths[-1]) + 0.3, left + LEFT, left + PANEL - 10)
    y = Axis(math.log10(LOWEST), 0.0, BOTTOM, TOP)
    title = f"{NAMES[task]}, " + ("mean over positions" if readout == "mean" else "first position")
    parts = [element("text", title, x=(x.start + x.end) / 2, y=TOP - 14, text_anchor="middle", font_weight="bold")]
    for error in (0.001, 0.01, 0.1, 1.0):
        height = y.at(math.log10(error))
        parts.append(element("line", x1=x.start, x2=x.end, y1=height, y2=height, class_="bar" if error == bar else "grid"))
        parts.append(element("text", f"{error:.1%}" if error < 0.01 else f"{error:.0%}", x=x.start - 6, y=height + 4, text_anchor="end"))
    parts += [element("text", f"{length:,}", x=x.at(math.log2(length)), y=BOTTOM + 18, text_anchor="middle") for length in lengths]
    parts.append(element("text", "positions", x=(x.start + x.end) / 2, y=BOTTOM + 36, text_anchor="middle"))
    return Markup("").join([*parts, *(line(model, models[model], x, y) for model in COLOURS if model in models)])


def line(model: str, rows: list[dict[str, Any]], x: Axis, y: Axis) -> Markup:
    """Filled dots passed the bar or had all their steps; hollow ones were stopped by time."""
    by_length: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_length[row["length"]].append(row)
    parts, points = [], []
    for length, same in sorted(by_length.items()):
        error = sum(row["error"] for row in same) / len(same)
        across, up = x.at(math.log2(length)), y.at(math.log10(max(error, LOWEST)))
        hollow = any(row["ended"] == "stopped by time" for row in same)
        tip = element("title", f"{model}, {length:,} positions: error {error:.2%}{', stopped by time' if hollow else ''}")
        parts.append(element("circle", tip, cx=across, cy=up, r=4.0, fill="#fff" if hollow else COLOURS[model], stroke=COLOURS[model]))
        points.append(f"{across:.1f},{up:.1f}")
    return Markup("").join([element("polyline", points=" ".join(points), stroke=COLOURS[model]), *parts])


def legend(models: list[str]) -> list[Markup]:
    """Four names a row."""
    parts = []
    for number, model in enumerate(models):
        left, height = 20.0 + PANEL / 2 * (number % 4) * 0.96, HEIGHT - 34 + 18 * (number // 4)
        parts.append(element("circle", cx=left, cy=height, r=4.0, fill=COLOURS[model]))
        parts.append(element("text", model, x=left + 8, y=height + 4))
    return parts
