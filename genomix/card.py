"""The model card: what a stranger who finds a model folder needs to know, as Markdown."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from genomix.data.label_text import listed
from genomix.data.splits import split_words
from genomix.metrics import BASELINE_TITLES, FIGURE_TITLES
from genomix.metrics.promise import lowest_error
from genomix.nn.mixers import MixerSettings

_MOST_NAMED = 20
"""Classes."""

_MARKS = str.maketrans({mark: f"&#{ord(mark)};" for mark in "&<>`|*[]\\"})
"""What Markdown or HTML would take for its own in a cell."""


def model_card(description: dict[str, Any]) -> str:
    """The card of a model from its description (the content of `model.json`)."""
    if description.get("pretraining"):
        parts = [_pretrained(description), _trained(description)]
    else:
        parts = [
            _what(description),
            _use(description),
            _trained(description),
            _scores(description),
            _confidence(description),
            _limits(description),
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(description: dict[str, Any]) -> str:
    classes = description["classes"]
    return f"# A genomix sequence classifier\n\nTells {len(classes)} classes apart: {_named(classes)}.\n\nA {_network(description)}"


def _network(description: dict[str, Any]) -> str:
    shape, tokens = description["architecture"], description["tokenizer"]
    count = shape.get("motifs")  # older models have no such branch
    motifs = f", {count} motifs of {shape['motif_width']} bases" if count else ""
    kind = "single nucleotides" if tokens["kind"] == "nucleotide" else f"{tokens['k']}-mers, stride {tokens['stride']}"
    return (
        f"network of {description['weights']['parameters']:,} parameters on {kind}; {shape['blocks']} block(s), "
        f"mixer: {MixerSettings(**shape['block']['mixer']).summary}; positions of {shape['patch']} token(s){motifs}."
    )


def _pretrained(description: dict[str, Any]) -> str:
    found = description["pretraining"]
    beside = ""
    if found.get("own_bases") is not None:  # older models lack it
        chance = "" if found["chance"] is None else f" ± {found['chance']:.4f}"
        beside = (
            f", of its bases, pairs or triplets to {found['own_bases']:.4f}. The lead on the best of these: {found['lead']:.4f}{chance}"
        )
    learnt = (
        f"Held-out loss {found['loss']:.4f} nats a hidden {found['word']}-mer; guessing the composition of all training records comes to "
        f"{found['overall']:.4f}, of the record itself to {found['own_record']:.4f}{beside}."
        if found["loss"] is not None
        else "No record was held out: what was learnt is not known."
    )
    return (
        "# A pretrained genomix network\n\nIt learnt from sequences without labels, by guessing hidden spans. It knows no classes and can't classify; "
        f"a classifier may start from it.\n\nThe body of a {_network(description)}\n\n{learnt}\n\n"
        "## Use\n\n```\ngenomix train LABELLED_SEQUENCES -o RUN --init PATH/TO/THIS/FOLDER\n```\n\n"
        "Add the `--preset` that it was pretrained with. Where settings of the network differ still, the command says which `--set` it needs.\n\n"
        f"Written by genomix {description['versions']['genomix']}; `genomix models verify PATH/TO/THIS/FOLDER` checks it."
    )


def _use(description: dict[str, Any]) -> str:
    return (
        "## Use\n\n```\ngenomix predict PATH/TO/THIS/FOLDER new_sequences.fasta -o predictions.tsv\n```\n\n"
        f"Written by genomix {description['versions']['genomix']}; `genomix models verify PATH/TO/THIS/FOLDER` checks it."
    )


def _trained(description: dict[str, Any]) -> str:
    rows = {**(description["dataset"] or {}), **(description["training"] or {})}
    if not rows:
        return ""
    return "\n\n".join(
        filter(None, ["## Training", _table([(name, _cell(value)) for name, value in rows.items()]), _untrained(description)])
    )


def _scores(description: dict[str, Any]) -> str:
    scores = description["evaluation"]
    if not scores:
        return "## Evaluation\n\nNone was made: the data set had no test split. How good this model is, is not known."
    basis = scores.get("basis") or {}  # older models lack it
    shown = {name: value for name, value in scores.items() if name != "basis" and not (basis and name in ("best_baseline", "gain_over_it"))}
    intervals = basis.get("intervals", {})
    rows = [(name, _cell(value) + ("" if value is None else _between(intervals.get(name)))) for name, value in shown.items()]
    if basis:
        rows += _basis_rows(basis, len(description["classes"]))
    return "\n\n".join(["## Evaluation on the test split", _table(rows), *(_remarks(basis, scores["accuracy"]) if basis else [])])


def _basis_rows(basis: dict[str, Any], classes: int) -> Iterator[tuple[str, str]]:
    yield "records independent of each other", _cell(basis["units"])
    yield "classes with test records", f"{classes - len(basis['classes_without_records']):,} of {classes:,}"
    if method := basis["split_method"]:
        yield "split", _cell(split_words(method, basis["split_seed"]))
    if basis["near_duplicates"] is not None:
        yield f"test records at least {basis['similarity']:g} like a training record", _cell(basis["near_duplicates"])
    if gain := basis["gain"]:
        yield "best baseline", _cell(BASELINE_TITLES.get(gain["baseline"], gain["baseline"]))
        yield "gain over it", _gain(gain)
    if alone := basis.get("composition"):  # older models lack it
        yield "macro f1 of the network's composition branch alone", _cell(alone["macro_f1"])
        yield "gain over its composition branch alone", _gain(alone["gain"])


def _gain(gain: dict[str, Any]) -> str:
    between = _between((gain["low"], gain["high"]), sign="+") or " (too few independent records for an interval)"
    return f"{FIGURE_TITLES[gain['metric']]} {gain['difference']:+z.3f}{between}"


def _untrained(description: dict[str, Any]) -> str:
    """A network that learnt nothing beyond its start is to be known as that."""
    if (description["training"] or {}).get("best_step") != 0:
        return ""
    start = ": a logistic regression on k-mer frequencies" if description["classes"] and description["architecture"]["composition"] else ""
    return f"No update of the network lowered the validation loss by more than chance may, so it is what training began with{start}."


def _remarks(basis: dict[str, Any], accuracy: float) -> Iterator[str]:
    gain = basis["gain"]
    if any(basis["intervals"].values()):
        yield f"In brackets: {basis['confidence']:.0%} intervals, of other test records of the same kind. Another training run gives slightly other figures."
    else:
        yield "No figure has an interval: too few of the test records are independent of each other. The figures are rough."
    if accuracy == 1.0:
        yield f"No error was made; by the rule of three the true error rate may still be up to {min(3 / basis['units'], 1):.1%} (95%)."
    if gain is None:
        yield "No baseline was fitted: composition alone may do as well."
    elif gain["low"] is None or gain["low"] <= 0:
        yield "The network is not shown to do better than the best baseline."
    if (alone := basis.get("composition")) and (alone["gain"]["low"] is None or alone["gain"]["low"] <= 0):
        yield "The network is not shown to reach a higher macro-F1 than its composition branch alone, a logistic regression on k-mer frequencies."
    if absent := basis["classes_without_records"]:
        yield f"No test record is of {_named(absent)}: nothing is known of how well these are found."
    if basis["warnings"]:
        yield f"Warnings of the audit, which the run's report explains: {_cell('; '.join(basis['warnings']))}."


def _confidence(description: dict[str, Any]) -> str:
    known = description.get("confidence")
    if not known:
        return ""
    if not known["records"]:
        return (
            "## Confidence\n\nThe data set had no validation split: probabilities are as the network gives them, and `--error` and `--max-novelty` "
            "can't be used."
        )
    counts = [len(scores) for scores in known["scores"]]
    return (
        f"## Confidence\n\nProbabilities are at temperature {known['temperature']:.2f}, fitted on {known['records']:,} validation records. "
        f"`--error` can promise {lowest_error(sum(counts)):g} and above over all classes, {_for_each_class(counts)}. "
        "Both hold for records like those of the validation split."
    )


def _for_each_class(counts: list[int]) -> str:
    if absent := counts.count(0):
        return f"and nothing for each class: {absent} of them ha{'s' if absent == 1 else 've'} no validation record"
    return f"{lowest_error(min(counts)):g} and above for each class"


def _limits(description: dict[str, Any]) -> str:
    strand = "either strand" if description["preprocessing"]["strand"] == "both" else "the forward strand only"
    ends = "circular molecules" if description["preprocessing"]["circular"] else "linear molecules"
    known = description.get("confidence") or {}
    options = ", ".join(
        ["`--threshold`", *(["`--error`"] if known.get("scores") else []), *(["`--max-novelty`"] if known.get("distances") else [])]
    )
    return (
        "## Limits\n\n"
        f"It reads {strand} of {ends}, as the training records were. A record of another kind gets one of the classes all the same: "
        f"there is {options}. Do not read a probability as a proof."
        + (" Scores hold for records that relate to the training records as the test split did." if description["evaluation"] else "")
    )


def _cell(value: Any) -> str:
    text = f"{value:z.3f}" if isinstance(value, float) else str("\N{EN DASH}" if value is None else value)
    return " ".join(text.splitlines()).translate(_MARKS)


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [f"| {name.replace('_', ' ')} | {text} |" for name, text in rows]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _between(interval: Sequence[float | None] | None, *, sign: str = "") -> str:
    return "" if interval is None or None in interval else " ({:{sign}z.3f} to {:{sign}z.3f})".format(*interval, sign=sign)


def _named(classes: list[str]) -> str:
    return listed([_code(name) for name in classes], most=_MOST_NAMED)


def _code(name: str) -> str:
    """A name as code, from which no backtick in it breaks out."""
    name = " ".join(name.splitlines())
    runs = re.findall("`+", name)
    fence, pad = "`" * (max(map(len, runs), default=0) + 1), " " if runs else ""
    return f"{fence}{pad}{name}{pad}{fence}"
