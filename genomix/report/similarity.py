"""The report's part on accuracy by similarity to training: a table, a drawing, the near-duplicates by name."""

from typing import Any

from markupsafe import Markup

from genomix.metrics.by_similarity import bin_title
from genomix.report.figures import HEIGHT, WIDTH
from genomix.report.svg import Axis, element, picture, tick_text

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 466, 16, 220


def similarity_rows(found: dict[str, Any]) -> list[dict[str, str]]:
    """Rows of the table as text: the bins, then near-duplicates and the rest; `title records accuracy interval`."""
    near, far = (found[name] for name in ("near", "far"))
    rows = [_row(bin_title(row), row) for row in found["bins"]]
    rows.append(_row(f"near-duplicates ({found['threshold']:g} or more)", near))
    return [*rows, _row("all others", far)]


def similarity_chart(found: dict[str, Any]) -> Markup:
    """Accuracy over the bins of similarity with intervals, the area of a dot by its records; the line joins the bins that have any."""
    bins = found["bins"]
    y, step = Axis(0.0, 1.0, _BOTTOM, _TOP), (_RIGHT - _LEFT) / len(bins)
    most = max(row["records"] for row in bins)
    grid = [element("line", x1=_LEFT, x2=_RIGHT, y1=y.at(tick), y2=y.at(tick), class_="grid") for tick in y.ticks()]
    ticks = [element("text", tick_text(tick), x=_LEFT - 8, y=y.at(tick) + 4, class_="tick end") for tick in y.ticks()]
    names, marks, points = [], [], []
    for number, row in enumerate(bins):
        x = _LEFT + step * (number + 0.5)
        names.append(element("text", bin_title(row).replace(" to ", "\N{EN DASH}"), x=x, y=_BOTTOM + 18, class_="tick middle"))
        names.append(element("text", f"n {row['records']:,}", x=x, y=_BOTTOM + 34, class_="tick middle"))
        if row["records"]:
            low, high = row["interval"]
            points.append(f"{x:.1f},{y.at(row['accuracy']):.1f}")
            marks.append(element("line", x1=x, x2=x, y1=y.at(low), y2=y.at(high), class_="line train"))
            size = 2.5 + 4.5 * (row["records"] / most) ** 0.5
            marks.append(element("circle", cx=x, cy=y.at(row["accuracy"]), r=size, class_="dot train"))
    middle = (_LEFT + _RIGHT) / 2
    words = "; ".join(f"{bin_title(row)}: {row['accuracy']:.3f} of {row['records']}" for row in bins if row["records"])
    return picture(
        WIDTH,
        HEIGHT,
        f"Accuracy by similarity to the nearest training record: {words}",
        *grid,
        *ticks,
        element("line", x1=_LEFT, x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM, class_="axis"),
        element("polyline", points=" ".join(points), class_="line second"),
        *marks,
        *names,
        element("text", "similarity to the nearest training record", x=middle, y=_BOTTOM + 58, class_="title middle"),
        element(
            "text", "accuracy", x=14, y=(_TOP + _BOTTOM) / 2, transform=f"rotate(-90 14 {(_TOP + _BOTTOM) // 2})", class_="title middle"
        ),
    )


def near_duplicate_rows(found: dict[str, Any]) -> list[dict[str, str]]:
    """The most similar near-duplicates as text: `id nearest similarity right`."""
    return [
        {
            "id": each["id"] or "(no id)",
            "nearest": each["nearest"] or "(no id)",
            "similarity": f"{each['similarity']:.3f}",
            "right": "yes" if each["correct"] else "no",
        }
        for each in found["near_duplicates"]
    ]


def near_duplicate_words(metrics: dict[str, Any] | None) -> str | None:
    """What a reader should know of near-duplicates of training records in the split that was scored; None where there are none."""
    found = (metrics or {}).get("by_similarity") or {}
    if not found.get("near_duplicates"):
        return None
    near, far, worst = found["near"], found["far"], found["near_duplicates"][0]
    others = f"{far['accuracy']:.3f} on the other {far['records']:,}" if far["records"] else "there are no others to judge by"
    return (
        f"{near['records']:,} of the records that were scored are near-duplicates of training records (similarity {found['threshold']:g} or more); the "
        f"closest is {worst['id'] or 'one without an id'}, {worst['similarity']:.3f} like {worst['nearest'] or 'one without an id'}. Such records are "
        f"remembered, not classified: accuracy is {near['accuracy']:.3f} on them, {others}."
    )


def _row(title: str, row: dict[str, Any]) -> dict[str, str]:
    dash = "\N{EN DASH}"
    return {
        "title": title,
        "records": f"{row['records']:,}",
        "accuracy": dash if row["accuracy"] is None else f"{row['accuracy']:.3f}",
        "interval": dash if row["interval"] is None else f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
    }
