"""The model card: what a stranger who finds a model folder needs to know, as Markdown."""

from typing import Any

from genomix.data.label_text import listed
from genomix.metrics.promise import lowest_error
from genomix.nn.mixers import MixerSettings


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
    named = listed([f"`{name}`" for name in classes], most=20)
    return f"# A genomix sequence classifier\n\nTells {len(classes)} classes apart: {named}.\n\nA {_network(description)}"


def _network(description: dict[str, Any]) -> str:
    shape, tokens = description["architecture"], description["tokenizer"]
    kind = "single nucleotides" if tokens["kind"] == "nucleotide" else f"{tokens['k']}-mers, stride {tokens['stride']}"
    return (
        f"network of {description['weights']['parameters']:,} parameters on {kind}; {shape['blocks']} block(s), "
        f"mixer: {MixerSettings(**shape['block']['mixer']).summary}; positions of {shape['patch']} token(s)."
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
    lines = [f"| {name.replace('_', ' ')} | {_cell(value)} |" for name, value in rows.items()]
    return "## Training\n\n| | |\n| --- | --- |\n" + "\n".join(lines)


def _scores(description: dict[str, Any]) -> str:
    scores = description["evaluation"]
    if not scores:
        return "## Evaluation\n\nNone was made: the data set had no test split. How good this model is, is not known."
    lines = [f"| {name.replace('_', ' ')} | {_cell(value)} |" for name, value in scores.items()]
    return "## Evaluation on the test split\n\n| | |\n| --- | --- |\n" + "\n".join(lines)


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
    text = f"{value:.4f}" if isinstance(value, float) else str("\N{EN DASH}" if value is None else value)
    return text.replace("|", "\\|").replace("\n", " ")
