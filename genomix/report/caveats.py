"""What a careful reader should know before believing the numbers. Each rule looks at one thing and says one sentence or two, or nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genomix.data.label_text import listed
from genomix.metrics import BASELINE_TITLES, FIGURE_TITLES
from genomix.metrics.bootstrap import fewest_units
from genomix.report.inputs import DataSummary, ReportInputs
from genomix.report.similarity import near_duplicate_words
from genomix.train.history import NOTICEABLE

FEW_UNITS = 50
"""Records (or groups) in the test split below which its figures are called rough."""

FEW_OF_A_CLASS = 10
POOR_CALIBRATION = 0.1
_MOST_SENTENCES = 5


@dataclass(frozen=True, slots=True)
class Caveat:
    """A title and a text; `warning` ones are boxed in colour, `note` ones are plain."""

    kind: str
    title: str
    text: str


def caveats(inputs: ReportInputs) -> list[Caveat]:
    """Warnings first, in the order in which they matter."""
    found = [*_of_evaluation(inputs.metrics), *_of_composition(inputs.metrics), *_of_training(inputs.history)]
    leak = near_duplicate_words(inputs.metrics)
    if leak is not None:
        found.append(Caveat("warning", "Near-duplicates of training records", leak))
    if inputs.data is not None:
        found += _of_split(inputs.data, leak_known=leak is not None)
    return sorted(found, key=lambda caveat: caveat.kind != "warning")


def verdict(metrics: dict[str, Any] | None) -> tuple[str, str]:
    """`good`, `open` or `bad`, and what the gain over the best baseline amounts to in words."""
    gain = metrics["gain"] if metrics else None
    if gain is None:
        return "open", "Nothing to compare the network with."
    if gain["low"] is None or gain["low"] <= 0 <= gain["high"]:
        return "open", "The network is not shown to differ from the best baseline."
    if gain["high"] < 0:
        return "bad", "The network is below the best baseline."
    return "good", "The network is above the best baseline."


def _of_evaluation(metrics: dict[str, Any] | None) -> Iterator[Caveat]:
    if metrics is None:
        yield Caveat(
            "warning", "No test split", "Nothing is known of how the network does on records that it was not trained or chosen on."
        )
        return
    yield from (
        Caveat("warning", "Records that the model may know", f"{text[:1].upper()}{text[1:]}.") for text in metrics.get("caveats", [])
    )
    yield from _of_gain(metrics)
    audit = metrics.get("audit")
    yield from (Caveat(each["kind"], each["title"], each["text"]) for each in (audit["findings"] if audit else []))
    yield from _of_size(metrics)
    if metrics["accuracy"] == 1.0:
        bound = 3 / _independent(metrics["bootstrap"])
        yield Caveat(
            "note",
            "No error was made",
            f"Bootstrap intervals shrink to a point then. By the rule of three the true error rate may still be up to {min(bound, 1):.1%} (95%).",
        )
    if metrics["ece"] > max(POOR_CALIBRATION, metrics["ece_by_chance"]["high"]):
        yield Caveat(
            "note",
            "Probabilities are off",
            f"They miss the part that is right by {metrics['ece']:.2f} on average. Rank records by them; don't read them as chances."
            + (" They are for the class balance of training; --prior gives them for that of new records." if _uneven(metrics) else ""),
        )


def _of_gain(metrics: dict[str, Any]) -> Iterator[Caveat]:
    gain = metrics["gain"]
    if gain is None:
        yield Caveat("warning", "No baseline", "No baseline was fitted, so it is open whether composition alone would do as well.")
        return
    name, title = BASELINE_TITLES.get(gain["baseline"], gain["baseline"]), FIGURE_TITLES[gain["metric"]]
    kind, _ = verdict(metrics)
    if kind == "bad":
        yield Caveat(
            "warning",
            "Below a baseline",
            f"The {name} does better in {title} and is simpler, smaller and faster. Prefer it, or train further.",
        )
    elif gain["low"] is None:
        yield Caveat(
            "warning",
            "Gain not shown",
            f"This test split has too few unrelated records to tell whether the network or the {name} is better.",
        )
    elif gain["low"] == gain["high"] == 0:
        yield Caveat(
            "warning", "Gain not shown", f"The network and the {name} are right on the same records: these can't tell which is better."
        )
    elif kind == "open":
        yield Caveat(
            "warning",
            "Gain not shown",
            f"The {gain['confidence']:.0%} interval of the gain in {title} over the {name} includes zero: "
            "this test split can't tell the two apart. More test records would narrow it.",
        )


def _of_composition(metrics: dict[str, Any] | None) -> Iterator[Caveat]:
    """What the rest of the network is not shown to add. Where there is no interval nothing is: a small test split is warned of as such."""
    if metrics is None or metrics["composition"] is None:
        return
    gain = metrics["composition"]["gain"]
    if gain["low"] is None or gain["low"] > 0:
        return
    title = FIGURE_TITLES[gain["metric"]]
    if gain["high"] < 0:
        yield Caveat(
            "warning",
            "Below its composition branch",
            f"The network's composition branch alone does better in {title}: what the rest of the network learnt costs more here than it brings.",
        )
        return
    yield Caveat(
        "note",
        "Gain over composition not shown",
        f"The {gain['confidence']:.0%} interval of the gain in {title} over the network's composition branch alone includes zero: "
        f"this {metrics['split']} split does not show that the rest of the network raises {title}.",
    )


def _of_size(metrics: dict[str, Any]) -> Iterator[Caveat]:
    bootstrap = metrics["bootstrap"]
    count = _independent(bootstrap)
    if count < FEW_UNITS:
        kind = "record" if count == metrics["records"] else "set"
        units = f"{count} {kind}{'s' * (count != 1)}" + (" of related records" if kind == "set" else "")
        yield Caveat(
            "warning",
            "Small test split",
            f"It holds {units}, too few for intervals: read the figures as examples."
            if bootstrap["units"] < fewest_units(bootstrap["confidence"])
            else f"It holds {units}, independent of each other. Read the intervals, not the third decimal.",
        )
    if divided := bootstrap.get("divided"):
        yield Caveat(
            "warning",
            "Classes of one family",
            f"All test records of {listed(divided)} are related. For the intervals they were drawn apart, by near-duplicate cluster or one by one: nothing is said of how "
            "another group of such a class would do.",
        )
    absent = [row["class"] for row in metrics["per_class"] if row["support"] == 0]
    scarce = [row["class"] for row in metrics["per_class"] if 0 < row["support"] < FEW_OF_A_CLASS]
    if absent:
        yield Caveat(
            "warning",
            "Classes that were not judged",
            f"No test record is of class {listed(absent)}. Nothing is known of how well they are found.",
        )
    if scarce:
        yield Caveat(
            "note",
            "Classes with few test records",
            f"Fewer than {FEW_OF_A_CLASS} are of class {listed(scarce)}; their rows are rough, and so is what averages over classes.",
        )
    never = [row["class"] for row in metrics["per_class"] if row["support"] >= FEW_OF_A_CLASS and not row["predicted"]]
    if never:
        yield Caveat("warning", "Classes that are never the answer", f"No test record was called {listed(never)}, and some are.")


def _of_split(data: DataSummary, *, leak_known: bool) -> Iterator[Caveat]:
    if data.split_method == "stratified":
        yield Caveat(
            "warning",
            "Random split",
            "Records were dealt to the splits at random, so near-duplicates and relatives may stand on both sides and the figures flatter. "
            "Split by cluster or group to learn how new kinds of records would do.",
        )
    if count := data.overlapping.get("test", 0):
        yield Caveat(
            "warning",
            "Overlapping intervals across the split",
            f"{count:,} test record{'s are intervals that overlap' if count > 1 else ' is an interval that overlaps'} one of training, so a part of what they hold was "
            "trained on. Split by cluster or sequence, or leave space between intervals.",
        )
    if data.divided_groups:
        yield Caveat(
            "warning",
            "Groups across the split",
            f"Of the groups that the label table names, {data.divided_groups:,} {'have' if data.divided_groups > 1 else 'has'} records on several sides of the "
            "split. Figures may show only that a group is known; split by group to learn how new groups would do.",
        )
    if data.held_back:
        yield Caveat("warning", "Classes that could not be held out", f"{'; '.join(data.held_back[:_MOST_SENTENCES])}.")
    if not leak_known and data.highest_similarity is not None and data.similarity is not None and data.highest_similarity > data.similarity:
        yield Caveat(
            "warning",
            "Near-duplicates across the split",
            f"The most similar pair of records on two sides is {data.highest_similarity:.1%} alike. Records of that kind are remembered, not classified.",
        )


def _of_training(history: list[dict[str, Any]]) -> Iterator[Caveat]:
    validations = [row for row in history if row["event"] == "validation"]
    if history and not validations:
        yield Caveat("note", "No validation split", "The weights of the last step were taken, without a look at records outside training.")
    if len(validations) > 1 and not any(row["best"] for row in validations if row["step"]):
        yield Caveat(
            "warning",
            "Training improved nothing",
            "No update lowered the validation loss by more than chance may (two standard errors, relatives counted as one), so the model is what training began with: where the network has a composition branch, a logistic regression on k-mer frequencies.",
        )
    losses = [row["loss"] for row in validations]
    if len(losses) > 2 and losses[-1] < min(losses[:-1]) - NOTICEABLE:
        yield Caveat(
            "note",
            "Training may have stopped early",
            "The validation loss was still falling at the very end. More steps may lower it further.",
        )


def _uneven(metrics: dict[str, Any]) -> bool:
    """Whether one class has twice as many test records as another."""
    support = [row["support"] for row in metrics["per_class"] if row["support"]]
    return max(support) >= 2 * min(support)


def _independent(bootstrap: dict[str, Any]) -> int:
    """Records, or sets of related ones, that are independent of each other; at most what the bootstrap draws."""
    return min(bootstrap["units"], bootstrap.get("families", bootstrap["units"]))
