"""The report's part on promises: where the probabilities come from, error over coverage, and the label sets of `predict --error`."""

from typing import Any

from genomix.report.content import Figure
from genomix.report.figures import risk_chart

_USUAL_ERROR = 0.05


def calibration_words(metrics: dict[str, Any]) -> str:
    """How the probabilities were calibrated; empty where nobody wrote it down."""
    if "temperature" not in metrics:
        return ""
    if metrics["temperature"] is None:
        return "Probabilities are as the network gives them: there was no validation split to fit a temperature on."
    return (
        f"Probabilities are at temperature {metrics['temperature']:.2f}, fitted on {metrics['calibration_records']:,} validation records: "
        + ("above 1, the network had been too sure." if metrics["temperature"] > 1 else "at 1 or below, the network had not been too sure.")
    )


def risk_figures(metrics: dict[str, Any]) -> list[Figure]:
    """Error over coverage for every threshold, with the label sets as dots; empty without such figures."""
    rows = metrics.get("risk_coverage")
    if not rows:
        return []
    sets = [
        (f"--error {each['error']:g}", (each["classified"], each["classified_error"]))
        for each in metrics["label_sets"]
        if each["classified_error"] is not None
    ]
    description = f"Error over coverage: {rows[-1]['risk']:.3f} of all records are wrong, {_at_half(rows):.3f} of the surer half"
    caption = (
        "Error over coverage. A higher --threshold classifies fewer records (to the left) and is wrong on fewer of them; the right end is no threshold. "
        "Dots: records that --error answers with one label. They may lie beside the line, because each class has a threshold of its own."
    )
    return [Figure(risk_chart(rows, sets, description=description), caption)]


def set_rows(metrics: dict[str, Any]) -> list[list[str]]:
    """A row a promised error: the promise, what was observed, labels a set, part with one label, and their error."""
    return [
        [
            f"{each['error']:g}",
            f"{each['observed_error']:.3f}",
            f"{each['size']:.2f}",
            f"{each['classified']:.1%}",
            "\N{EN DASH}" if each["classified_error"] is None else f"{each['classified_error']:.3f}",
        ]
        for each in metrics.get("label_sets", [])
    ]


def promise(metrics: dict[str, Any]) -> tuple[float, str] | None:
    """An error rate to ask for, 0.05 where that can be promised, and what is promised then beside what was seen; None without label sets."""
    each = next((each for each in metrics.get("label_sets", []) if each["error"] >= _USUAL_ERROR), None)
    if each is None:
        return None
    return each["error"], (
        f"Answer with a set of labels that misses the true one at most once in {round(1 / each['error'])} records, on records like those of the validation "
        f"split (on this {metrics['split']} split {each['observed_error']:.1%} of the sets missed it); a record with a set of several labels, or none, is unclassified:"
    )


def _at_half(rows: list[dict[str, Any]]) -> float:
    return float(min(rows, key=lambda row: abs(row["coverage"] - 0.5))["risk"])
