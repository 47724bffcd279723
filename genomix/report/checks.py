"""The report's section on shortcuts and checks, as the template wants it: what length and GC alone explain, what shuffling and cropping cost."""

from typing import Any

from genomix.certificate import MOST, TOLERANCE, highest_drop
from genomix.metrics import BASELINE_TITLES, SHORT_TITLES
from genomix.report.content import Cell, Figure, signed
from genomix.report.figures import Curve, curves_chart

Rows = list[list[Cell]]


def gain_rows(metrics: dict[str, Any]) -> Rows:
    """The network's gain over its composition branch, where it has one, and over each baseline, the smallest first: over what, its figure, gain with its
    interval."""
    gains = {name: gain for name, gain in metrics.get("gains", {}).items() if gain["difference"] is not None}
    alone = metrics["composition"]
    return [
        *([_gain_row("the network's composition branch alone", alone, alone["gain"])] if alone else []),
        *(
            _gain_row(BASELINE_TITLES.get(name, name), metrics["baselines"][name], gain)
            for name, gain in sorted(gains.items(), key=lambda each: each[1]["difference"])
        ),
    ]


def _gain_row(title: str, figures: dict[str, Any], gain: dict[str, Any]) -> list[Cell]:
    return [Cell(title), Cell(f"{figures[gain['metric']]:.3f}"), Cell(signed(gain["difference"]), _between(gain["low"], gain["high"]))]


def trait_rows(metrics: dict[str, Any]) -> Rows:
    """What a trait alone explains: trait, balanced accuracy with its interval, share of the network's way above chance, classes told apart."""
    audit = metrics.get("audit")
    rows = []
    for name, trait in (audit["traits"] if audit else {}).items():
        reached = Cell(f"{trait['balanced_accuracy']:.3f}", "{:.3f} to {:.3f}".format(*trait["interval"]) if trait["interval"] else "")
        share = Cell("\N{EN DASH}" if trait["share"] is None else f"{max(trait['share'], 0):.0%}")
        apart = ", ".join(f"{each['class']} ({each['roc_auc']:.2f})" for each in trait["classes"]) or "none"
        rows.append([Cell(SHORT_TITLES.get(name, name)), reached, share, Cell(apart)])
    return rows


def check_rows(metrics: dict[str, Any]) -> Rows:
    """A row a shuffle and a crop: what was done, records, accuracy and macro-F1 with those of the same records as they are, change of accuracy."""
    checks = metrics.get("checks")
    if not checks:
        return []
    shuffles = [(f"shuffled in blocks of {row['block']:,} bases", row, checks["whole"]) for row in checks["shuffles"]]
    crops = [(f"cropped to {row['length']:,} bases", row, row["whole"]) for row in checks["crops"]]
    return [
        [
            Cell(title),
            Cell(f"{row['records']:,}"),
            *(Cell(f"{row[figure]:.3f}", f"{whole[figure]:.3f} as they are") for figure in ("accuracy", "macro_f1")),
            Cell(signed(-row["drop"]["difference"]), _between(row["drop"]["high"], row["drop"]["low"], sign=-1)),
        ]
        for title, row, whole in [*shuffles, *crops]
    ]


def length_figure(metrics: dict[str, Any]) -> Figure | None:
    """Accuracy against the length of crops; None with fewer than two crops."""
    crops = (metrics.get("checks") or {}).get("crops", [])
    if len(crops) < 2:
        return None
    curves = [
        Curve("cropped", [(row["length"] / 1000, row["accuracy"]) for row in crops], "train"),
        Curve("the same records whole", [(row["length"] / 1000, row["whole"]["accuracy"]) for row in crops], "second"),
    ]
    text = "; ".join(f"{row['accuracy']:.3f} at {row['length']:,} bases" for row in crops)
    drawing = curves_chart(curves, x_title="crop (kb)", y_title="accuracy", description=f"Accuracy of cropped records: {text}", top=1.0)
    return Figure(
        drawing, "Accuracy against length. Only records longer than the crop count, so the records whole are others at each length."
    )


def check_words(metrics: dict[str, Any]) -> list[str]:
    """What was checked, what it says, and what was not made and why; a sentence or two each."""
    checks = metrics.get("checks")
    if not checks:
        return ["Shuffle and crop checks were not made."]
    words = [
        f"Made on {checks['records']:,} of {checks['of']:,} test records (seed {checks['seed']}); intervals are of {checks['resamples']:,} resamples."
    ]
    if checks["shuffles"] and checks["whole"]["accuracy"] <= _largest_share(metrics):
        words.append("Shuffling can't tell what the network uses: its answers are no better than one class for all.")
    else:
        words += [_order_words(row, metrics["bootstrap"]) for row in checks["shuffles"]]
    if certificate := metrics["length_certificate"]:
        words.append(
            f"Length certificate: {certificate['shortest']:,} to {certificate['longest']:,} bases. Accuracy was measured to hold from the one on (a crop holds where "
            f"it costs at most {certificate['tolerance']:.2f}, and on enough records to rule out more than {MOST:.2f}); the other is the longest record trained or tested on. genomix predict warns of others."
        )
    else:
        words.append("No length certificate: too few test records, or their answers are no better than one class for all.")
    return words + [f"Not made: {each['check']} at {each['size']:,} bases, as {each['reason']}." for each in checks["skipped"]]


def _order_words(row: dict[str, Any], bootstrap: dict[str, Any]) -> str:
    low, high = row["drop"]["low"], row["drop"]["high"]
    if low is not None and low > 0:
        return f"The order of pieces of {row['block']:,} bases matters to the network."
    if high is not None and high < 0:
        return f"The order of pieces of {row['block']:,} bases matters to the network, and misleads it: it does better without."
    highest = highest_drop(row["drop"], min(row["units"], bootstrap.get("families", bootstrap["units"])))
    small = highest is not None and highest <= TOLERANCE
    found = "what the network uses is inside them" if small else "there are too few records to tell"
    return f"No effect of the order of pieces of {row['block']:,} bases is shown: {found}."


def _largest_share(metrics: dict[str, Any]) -> float:
    """Accuracy of the most frequent class as the answer to all."""
    support = [row["support"] for row in metrics["per_class"]]
    return float(max(support) / sum(support))


def _between(low: float | None, high: float | None, *, sign: int = 1) -> str:
    return "no interval" if low is None or high is None else f"{signed(sign * low)} to {signed(sign * high)}"
