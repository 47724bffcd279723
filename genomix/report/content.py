"""The report's parts as the template wants them: texts and drawings, no arithmetic left to do."""

import shlex
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from genomix.data.label_text import listed
from genomix.data.splits import split_words
from genomix.metrics import BASELINE_TITLES, FIGURE_TITLES, FIGURES, GAIN_METRIC, SHORT_TITLES
from genomix.report.figures import Curve, Estimate, curves_chart, estimates_chart, reliability_chart, thinned
from genomix.report.inputs import DataSummary

_LOWER_IS_BETTER = {"log_loss", "ece"}
_PLOTTED = ("macro_f1", "roc_auc")


@dataclass(frozen=True, slots=True)
class Cell:
    """A number in a table: as text, its interval as text or empty, and whether it is the best of its row."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption."""

    drawing: Markup
    caption: str


def tiles(metrics: dict[str, Any]) -> list[tuple[str, Cell]]:
    """The figures that stand at the top, in large type."""
    return [(FIGURE_TITLES[name], _cell(metrics, metrics["intervals"], name)) for name in ("accuracy", "macro_f1", "roc_auc", "log_loss")]


def comparison(metrics: dict[str, Any]) -> dict[str, Any]:
    """The table of all figures: `columns`, and `rows` of a title, which way is better, and a cell a classifier, the network's first."""
    classifiers = _classifiers(metrics)
    rows = []
    for figure in FIGURES:
        best = _best([source[figure] for _, source, _ in classifiers], lowest=figure in _LOWER_IS_BETTER)
        cells = [_cell(source, between, figure, best=best) for _, source, between in classifiers]
        rows.append({"title": FIGURE_TITLES[figure], "better": "lower" if figure in _LOWER_IS_BETTER else "higher", "cells": cells})
    return {"columns": [name for name, _, _ in classifiers], "rows": rows}


def estimates(metrics: dict[str, Any]) -> list[Figure]:
    """The network beside the baselines, drawn with intervals."""
    drawn = []
    whose = "the network, its composition branch" if metrics["composition"] else "the network"
    for figure in _PLOTTED:
        shown = [
            Estimate(name, source[figure], between[figure], source is metrics)
            for name, source, between in _classifiers(metrics)
            if source[figure] is not None
        ]
        if shown:
            title = FIGURE_TITLES[figure]
            text = "; ".join(f"{each.name} {each.value:.3f}" for each in shown)
            drawing = estimates_chart(shown, x_title=title, description=f"{title}: {text}")
            bars = "; bars are the same intervals" if any(each.interval for each in shown) else ""
            drawn.append(Figure(drawing, f"{title} of {whose} and the baselines{bars}."))
    return drawn


def calibration(metrics: dict[str, Any]) -> Figure:
    """The reliability diagram."""
    drawing = reliability_chart(metrics["reliability"], description=f"Calibration: expected calibration error {metrics['ece']:.3f}")
    return Figure(
        drawing,
        "Dots are the records of one of 15 bins of equal width, their area the number of records. On the dashed line a probability is the part that is "
        f"right; below it the network is too sure. Expected calibration error {metrics['ece']:.3f}; probabilities that are right come to "
        f"{metrics['ece_by_chance']['mean']:.3f} by chance.",
    )


def training_curves(history: list[dict[str, Any]]) -> list[Figure]:
    """Loss and validation figures over steps; empty where no step was written down."""
    steps = [row for row in history if row["event"] == "step"]
    validations = [row for row in history if row["event"] == "validation"]
    if not steps:
        return []
    chosen = max((row["step"] for row in validations if row["best"]), default=None)
    mark = (
        " The dashed line marks the weights that were kept, those whose validation loss, averaged with the one before, is lowest, or those that training began with where none is surely lower."
        if validations
        else ""
    )
    losses = [Curve("training", thinned([(row["step"], row["loss"]) for row in steps]), "train")]
    if validations:
        losses.append(Curve("validation", [(row["step"], row["loss"]) for row in validations], "validation"))
    drawing = curves_chart(
        losses, x_title="step", y_title="loss (nats)", description=f"Loss over {steps[-1]['step']} training steps", mark=chosen
    )
    caption = (
        "Loss. Training records are mutated and pass dropout, and the loss of validation is what calibration leaves, each class counting as in training: "
        "it may lie below that of training."
    )
    figures = [Figure(drawing, caption + mark)]
    named = [("accuracy", "accuracy", "second"), ("macro_f1", "macro-F1", "validation")]
    scores = [
        Curve(title, [(row["step"], row[key]) for row in validations], style)
        for key, title, style in named
        if validations and key in validations[0]
    ]
    if scores:
        description = f"Validation figures over {validations[-1]['step']} training steps"
        drawing = curves_chart(scores, x_title="step", y_title="validation split", description=description, top=1.0, mark=chosen)
        figures.append(
            Figure(drawing, "Figures of the validation split, by which the weights were chosen; they flatter a little for that reason.")
        )
    return figures


def data_facts(data: DataSummary) -> list[tuple[str, str]]:
    """The data set and its split, title and value."""
    shortest, median, longest = data.lengths
    facts = [
        ("record length", f"{shortest:,} to {longest:,} bases, median {median:,}"),
        ("split", "; ".join([split_words(data.split_method, data.split_seed), *data.notes])),
    ]
    if data.clusters is not None:
        limit = f", records at least {data.similarity:.0%} alike" if data.similarity is not None else ""
        largest = f"; the largest has {data.largest_cluster:,} records" if data.largest_cluster is not None else ""
        facts.append(("near-duplicate clusters", f"{data.clusters:,}{limit}{largest}"))
    if data.highest_similarity is not None:
        facts.append(("leak figure", _leak_words(data.highest_similarity)))
    if data.rejected:
        reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in data.rejected.items())
        facts.append(("left out", f"{sum(data.rejected.values()):,} records: {reasons}"))
    return facts + [("source", f"{name} (sha256 {checksum[:16]})" if checksum else name) for name, checksum in data.sources]


def facts(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as title and text, one row a value; None is left out."""
    rows = []
    for key, value in values.items():
        title = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            rows += facts(value, f"{title}: ")
        elif value is not None:
            rows.append((title, _plain(key, value)))
    return rows


def provenance_facts(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    """Where the run comes from, less what the report's other sections show."""
    return facts({key: value for key, value in provenance.items() if key not in {"training", "evaluation"}})


def command(*words: str) -> str:
    """A command line that a shell reads back as these words."""
    return shlex.join(words)


def gain_words(metrics: dict[str, Any]) -> tuple[str, str]:
    """The gain in large type, and what it is the gain of and over."""
    gain = metrics["gain"]
    name = BASELINE_TITLES.get(gain["baseline"], gain["baseline"])
    against = _against(metrics, gain, metrics["baselines"][gain["baseline"]])
    return signed(gain["difference"]), f"{FIGURE_TITLES[gain['metric']]} over the best baseline, {name}: {against}"


def composition_words(metrics: dict[str, Any]) -> str:
    """The gain over the network's composition branch alone, as a sentence."""
    alone = metrics["composition"]
    gain = alone["gain"]
    return (
        f"Gain in {FIGURE_TITLES[gain['metric']]} over the network's composition branch alone: {signed(gain['difference'])}; "
        f"{_against(metrics, gain, alone)}{'' if gain['low'] is not None else '; no interval, as too few records are unrelated'}."
    )


def _against(metrics: dict[str, Any], gain: dict[str, Any], other: dict[str, Any]) -> str:
    between = f"; {gain['confidence']:.0%} interval {signed(gain['low'])} to {signed(gain['high'])}" if gain["low"] is not None else ""
    return f"{metrics[gain['metric']]:.3f} against {other[gain['metric']]:.3f}{between}"


def records_words(metrics: dict[str, Any]) -> str:
    """How many records were scored, and of how many of the classes."""
    count, classes = metrics["records"], len(metrics["classes"])
    tested = sum(row["support"] > 0 for row in metrics["per_class"])
    of = f"{tested:,} of {classes:,}" if tested < classes else f"{classes:,}"
    return f"{count:,} {metrics['split']} record{'s' * (count != 1)} of {of} classes"


def chance_words(metrics: dict[str, Any]) -> str:
    """What a classifier that knows nothing reaches, as a sentence."""
    chance, tested = metrics["audit"]["chance"], sum(row["support"] > 0 for row in metrics["per_class"])
    if tested == len(metrics["classes"]):
        return f"Chance is {chance:.3f}."
    return (
        f"A classifier that knows nothing reaches {chance:.3f} at most, as {tested:,} classes have {metrics['split']} records, "
        f"and {1 / len(metrics['classes']):.3f} where it guesses among all {len(metrics['classes']):,}."
    )


def interval_words(metrics: dict[str, Any]) -> str:
    """What stands below the figures; where no figure has an interval, why."""
    bootstrap = metrics["bootstrap"]
    if not any(metrics["intervals"].values()):
        return "no figure has an interval, as too few records are unrelated"
    related = ", related records drawn together" if bootstrap["unit"] == "group" else ""
    if divided := bootstrap.get("divided"):
        related += f", but those of {listed(divided)} apart, each of them being one family"
    return f"below each figure its {bootstrap['confidence']:.0%} bootstrap interval ({bootstrap['resamples']:,} resamples of {bootstrap['units']:,} {bootstrap['unit']}s{related})"


def without_interval(metrics: dict[str, Any]) -> str:
    """The figures that have no interval where others have one, as the end of a sentence."""
    bare = [FIGURE_TITLES[name] for name, between in metrics["intervals"].items() if between is None and metrics[name] is not None]
    return f", none for {' and '.join(bare)}" if bare and any(metrics["intervals"].values()) else ""


def signed(value: float) -> str:
    """With a sign; the minus is the typographic one, at which no line breaks."""
    return f"{value:+z.3f}".replace("-", "\N{MINUS SIGN}")


def _leak_words(similarity: float) -> str:
    if similarity == 0:
        return "no two records on two sides of the split share a sketched 16-mer: nothing alike was found"
    return f"the most similar pair of records on two sides of the split is {similarity:.1%} alike"


def _classifiers(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Title, figures and intervals of the network, of its composition branch where it has one, and of the baselines, the strongest first."""
    alone = metrics["composition"]
    names = sorted(metrics["baselines"], key=lambda name: -metrics["baselines"][name][GAIN_METRIC])
    return [
        ("network", metrics, metrics["intervals"]),
        *([("composition", alone, alone["intervals"])] if alone else []),
        *((SHORT_TITLES.get(name, name), metrics["baselines"][name], metrics["baseline_intervals"][name]) for name in names),
    ]


def _cell(source: dict[str, Any], intervals: dict[str, Any], figure: str, *, best: float | None = None) -> Cell:
    between = intervals[figure]
    value = source[figure]
    return Cell(_number(value), f"{between[0]:.3f} to {between[1]:.3f}" if between else "", best is not None and value == best)


def _best(values: list[float | None], *, lowest: bool) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    return min(known) if lowest else max(known)


def _plain(key: str, value: Any) -> str:
    if key == "command" and isinstance(value, list):
        return shlex.join(str(word) for word in value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.3f}"
