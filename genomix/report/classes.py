"""The report's tables that have a row a class. With many classes they show those that a reader looks for, so that the page stays a page."""

from dataclasses import dataclass
from typing import Any

from genomix.metrics import SHORT_TITLES
from genomix.metrics.by_rank import best_baseline
from genomix.report.inputs import SPLITS, DataSummary

MOST_CLASSES_IN_MATRIX = 20
"""With more classes the confusion matrix is a list of the most frequent confusions."""

MOST_CLASSES_IN_TABLE = 50
"""With more classes a table shows `_SHOWN` of them."""

_SHOWN = 30
_MOST_CONFUSIONS = 25


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Rows of text, and which of all the classes these are; empty where they are all."""

    rows: list[dict[str, Any]]
    selection: str = ""


def class_table(metrics: dict[str, Any]) -> ClassTable:
    """The figures of each class; of many, those with the lowest F1."""
    rows = metrics["per_class"]
    if len(rows) <= MOST_CLASSES_IN_TABLE:
        return ClassTable([_texts(row) for row in rows])
    judged = sorted((row for row in rows if row["support"]), key=lambda row: row["f1"])
    scores = [row["f1"] for row in judged]
    marks = f"a tenth of them at most {scores[len(scores) // 10]:.3f}, half at most {scores[len(scores) // 2]:.3f}"
    return ClassTable(
        [_texts(row) for row in judged[:_SHOWN]],
        f"The {min(_SHOWN, len(judged))} lowest F1 of the {len(judged)} classes with test records ({marks}); evaluation/metrics.json holds all.",
    )


def split_table(data: DataSummary) -> ClassTable:
    """A row a class, `name` and `counts` in train, validation, test and together, and a last one of the sums; of many classes the largest and smallest."""
    counts = {name: [splits.get(split, 0) for split in SPLITS] for name, splits in data.counts.items()}
    sums = ("all classes", [sum(column) for column in zip(*counts.values(), strict=True)])
    shown, selection = list(counts.items()), ""
    if len(shown) > MOST_CLASSES_IN_TABLE:
        ordered = sorted(shown, key=lambda item: -sum(item[1]))
        shown = ordered[: _SHOWN // 2] + ordered[-_SHOWN // 2 :]
        selection = f"The {_SHOWN // 2} largest and the {_SHOWN // 2} smallest of {len(ordered)} classes; dataset.json holds all."
    rows = [{"name": name, "counts": [f"{count:,}" for count in (*row, sum(row))]} for name, row in [*shown, sums]]
    return ClassTable(rows, selection)


def rank_rows(metrics: dict[str, Any]) -> list[dict[str, str]]:
    """The figures of each rank as text; empty where labels have no ranks."""
    rows = []
    for row in metrics["ranks"] or []:
        best = best_baseline(row)
        rows.append(
            {
                "rank": str(row["rank"]),
                "nodes": f"{row['nodes']:,}",
                "accuracy": f"{row['accuracy']:.3f}",
                "macro_f1": f"{row['macro_f1']:.3f}",
                "composition": f"{row['composition']['macro_f1']:.3f}" if row["composition"] else "",
                "baseline": f"{best[1]:.3f} ({SHORT_TITLES.get(best[0], best[0])})" if best else "\N{EN DASH}",
            }
        )
    return rows


def confusion_table(metrics: dict[str, Any]) -> list[dict[str, Any]] | None:
    """A row a true class: `name`, and `cells` of a count and its share of the row; None where the classes are too many for a matrix."""
    classes = metrics["classes"]
    if len(classes) > MOST_CLASSES_IN_MATRIX:
        return None
    counts = {(cell["true"], cell["predicted"]): cell["records"] for cell in metrics["confusion"]}
    rows = []
    for true in classes:
        row = [counts.get((true, predicted), 0) for predicted in classes]
        cells = [
            {"count": count, "share": round(count / max(1, sum(row)), 3), "right": true == predicted}
            for predicted, count in zip(classes, row, strict=True)
        ]
        rows.append({"name": true, "cells": cells})
    return rows


def frequent_confusions(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """The most frequent errors: `true predicted count share`, the share being of the true class's records."""
    support = {row["class"]: row["support"] for row in metrics["per_class"]}
    errors = [
        {
            "true": cell["true"],
            "predicted": cell["predicted"],
            "count": cell["records"],
            "share": f"{cell['records'] / support[cell['true']]:.0%}",
        }
        for cell in metrics["confusion"]
        if cell["true"] != cell["predicted"]
    ]
    return sorted(errors, key=lambda error: -error["count"])[:_MOST_CONFUSIONS]


def _texts(row: dict[str, Any]) -> dict[str, str]:
    return {key: _text(value) for key, value in row.items()}


def _text(value: float | str | None) -> str:
    match value:
        case None:
            return "\N{EN DASH}"
        case str():
            return value
        case int():
            return f"{value:,}"
    return f"{value:.3f}"
