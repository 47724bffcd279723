"""The report's drawings: training curves, figures with intervals, calibration. Each is one inline SVG whose colours come from the page's style."""

from dataclasses import dataclass

from markupsafe import Markup

from genomix.report.svg import Axis, element, picture, spanning, tick_text

WIDTH, HEIGHT = 480, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 466, 34, 242

_MOST_POINTS = 240
"""Points of a curve; more can't be told apart at this size."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a chart: its name in the legend, its points, and its style (`train`, `validation`, `second`)."""

    name: str
    points: list[Point]
    style: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of one classifier, with its interval where there is one."""

    name: str
    value: float
    interval: tuple[float, float] | None
    ours: bool


def curves_chart(
    curves: list[Curve], *, x_title: str, y_title: str, description: str, top: float | None = None, mark: float | None = None
) -> Markup:
    """Lines over a common x axis; the y axis begins at 0.

    Args:
        top: where the y axis ends; by default above the highest point.
        mark: an x value to mark with a vertical line, that of the chosen weights.
    """
    points = [point for curve in curves for point in curve.points]
    x = Axis(0.0, max([point[0] for point in points], default=1.0) or 1.0, _LEFT, _RIGHT)
    y = spanning([point[1] for point in points], _BOTTOM, _TOP, low=0.0) if top is None else Axis(0.0, top, _BOTTOM, _TOP)
    lines = [_curve(curve, x, y) for curve in curves]
    marked = [element("line", x1=x.at(mark), x2=x.at(mark), y1=_TOP, y2=_BOTTOM, class_="mark")] if mark is not None else []
    return picture(WIDTH, HEIGHT, description, *_frame(x, y, x_title, y_title), *marked, *lines, *_legend(curves))


def thinned(points: list[Point]) -> list[Point]:
    """The means of as many consecutive points as it takes to leave no more than `_MOST_POINTS`."""
    size = -(-len(points) // _MOST_POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)] if points else []
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def estimates_chart(estimates: list[Estimate], *, x_title: str, description: str) -> Markup:
    """One row a classifier: its figure, 0 to 1, as a dot, its interval as a line; ours on a line through the plot, to compare by."""
    values = [value for each in estimates for value in (each.value, *(each.interval or ()))]
    row_height, left = 30, 92
    bottom = 16 + row_height * len(estimates)
    x = spanning(values, left, _RIGHT, bounds=(0.0, 1.0))
    grid = [element("line", x1=x.at(tick), x2=x.at(tick), y1=8, y2=bottom, class_="grid") for tick in x.ticks()]
    labels = [element("text", tick_text(tick), x=x.at(tick), y=bottom + 18, class_="tick middle") for tick in x.ticks()]
    ours = [element("line", x1=x.at(each.value), x2=x.at(each.value), y1=8, y2=bottom, class_="mark") for each in estimates if each.ours]
    rows = [_estimate(each, x, left, 16 + row_height * (number + 0.5)) for number, each in enumerate(estimates)]
    title = element("text", x_title, x=(left + _RIGHT) / 2, y=bottom + 38, class_="title middle")
    return picture(WIDTH, bottom + 46, description, *grid, *ours, *labels, *rows, title)


def reliability_chart(rows: list[dict], *, description: str) -> Markup:
    """Part that is right over the probability given, a dot a bin, its area by its records; the diagonal is perfect calibration.

    Args:
        rows: those of `genomix.metrics.reliability`.
    """
    filled = [row for row in rows if row["records"]]
    most = max((row["records"] for row in filled), default=1)
    x, y = Axis(0.0, 1.0, _LEFT, _RIGHT), Axis(0.0, 1.0, _BOTTOM, _TOP)
    diagonal = element("line", x1=x.at(0), y1=y.at(0), x2=x.at(1), y2=y.at(1), class_="mark")
    path = _path([(row["probability"], row["accuracy"]) for row in filled], x, y, "line second")
    dots = [
        element(
            "circle",
            element("title", f"{row['records']} records given {row['probability']:.2f} on average: {row['accuracy']:.2f} right"),
            cx=x.at(row["probability"]),
            cy=y.at(row["accuracy"]),
            r=2.5 + 6.5 * (row["records"] / most) ** 0.5,
            class_="dot second",
        )
        for row in filled
    ]
    frame = _frame(x, y, "probability of the predicted class", "part that is right")
    return picture(WIDTH, HEIGHT, description, *frame, diagonal, path, *dots)


def risk_chart(rows: list[dict], sets: list[tuple[str, Point]], *, description: str) -> Markup:
    """Part that is wrong among the records classified over the part that is classified, for any threshold; and as dots the label sets.

    Args:
        rows: those of `genomix.confidence.figures.risk_coverage`.
        sets: of each promised error its name, and the coverage and error of the sets of one label.
    """
    line = [(row["coverage"], row["risk"]) for row in rows]
    x = Axis(0.0, 1.0, _LEFT, _RIGHT)
    y = spanning([risk for _, risk in [*line, *(point for _, point in sets)]] + [0.01], _BOTTOM, _TOP, low=0.0)
    dots = [
        Markup("").join(
            [
                element("circle", cx=x.at(point[0]), cy=y.at(point[1]), r=5.0, class_="dot second"),
                element("text", name, x=x.at(point[0]) - 9, y=y.at(point[1]) - 8, class_="tick end"),
            ]
        )
        for name, point in sets
    ]
    frame = _frame(x, y, "part of the records classified", "part of them that is wrong")
    return picture(WIDTH, HEIGHT, description, *frame, _path(line, x, y, "line train"), *dots)


def _frame(x: Axis, y: Axis, x_title: str, y_title: str) -> list[Markup]:
    middle = (y.start + y.end) / 2
    return [
        *(element("line", x1=x.start, x2=x.end, y1=y.at(tick), y2=y.at(tick), class_="grid") for tick in y.ticks()),
        *(element("text", tick_text(tick), x=x.start - 8, y=y.at(tick) + 4, class_="tick end") for tick in y.ticks()),
        *(element("text", tick_text(tick), x=x.at(tick), y=y.start + 18, class_="tick middle") for tick in x.ticks()),
        element("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"),
        element("text", x_title, x=(x.start + x.end) / 2, y=y.start + 38, class_="title middle"),
        element("text", y_title, x=14, y=middle, transform=f"rotate(-90 14 {middle:.0f})", class_="title middle"),
    ]


def _legend(curves: list[Curve]) -> list[Markup]:
    parts, left = [], float(_LEFT)
    for curve in curves:
        parts += [
            element("line", x1=left, x2=left + 20, y1=14, y2=14, class_=f"line {curve.style}"),
            element("text", curve.name, x=left + 26, y=18, class_="tick"),
        ]
        left += 50 + 6.6 * len(curve.name)
    return parts


def _curve(curve: Curve, x: Axis, y: Axis) -> Markup:
    dots = [element("circle", cx=x.at(point[0]), cy=y.at(point[1]), r=2.5, class_=f"dot {curve.style}") for point in curve.points]
    few = len(curve.points) <= 40
    return Markup("").join([_path(curve.points, x, y, f"line {curve.style}"), *(dots if few else [])])


def _path(points: list[Point], x: Axis, y: Axis, style: str) -> Markup:
    return element("polyline", points=" ".join(f"{x.at(across):.1f},{y.at(up):.1f}" for across, up in points), class_=style)


def _estimate(each: Estimate, x: Axis, left: float, height: float) -> Markup:
    style = "train" if each.ours else "other"
    parts = [element("text", each.name, x=left - 12, y=height + 4, class_="tick end strong" if each.ours else "tick end")]
    if each.interval:
        low, high = each.interval
        parts.append(element("line", x1=x.at(low), x2=x.at(high), y1=height, y2=height, class_=f"line {style}"))
    parts.append(element("circle", cx=x.at(each.value), cy=height, r=5.0, class_=f"dot {style}"))
    return Markup("").join(parts)
