"""Everything that is done, as one structure for the JSON file and as Markdown for people."""

from typing import Any

from accuracy_bars import bars, missing
from accuracy_figures import FIGURES, of_rivals, of_variant
from accuracy_rivals import fitted
from accuracy_runs import RESULT, prepared
from accuracy_sets import DEFAULT, SETS, Places, Run

_MOST_SETS = 4
"""Missing sets that are named one by one; more are counted."""


def collected(places: Places, names: list[str], seeds: list[int], variants: list[str], split: str) -> dict[str, Any]:
    """`sets` (rivals and variants of each), what is `missing`, and the `bars`, which are the test split's. Trials are listed too."""
    sets = {name: _of_set(places, name, seeds, variants, split) for name in names}
    verdicts = {"bars": bars(sets, seeds)} if split == "test" else {}
    return {"split": split, "seeds": seeds, "sets": sets, "missing": missing(sets, seeds, variants), **verdicts}


def markdown(figures: dict[str, Any]) -> str:
    """Two tables (figures, costs), the bars, and what is missing."""
    lines = [
        f"Figures of the {figures['split']} split; difference in macro-F1 from the best k-mer rival, 90 % paired bootstrap interval.",
        "",
    ]
    lines += _head("set, variant", "seeds", "accuracy", "macro-F1", "AUC", "log loss", "difference [interval]")
    for name, each in figures["sets"].items():
        lines += _rival_rows(name, each["rivals"], figures["split"])
        lines += [_row(name, variant, found, figures["split"]) for variant, found in each["variants"].items()]
    lines += [
        "",
        *_head("set, variant", "threads", "train command, s", "training alone, s", "steps", "peak MB", "parameters", "bases trained on"),
    ]
    for name, each in figures["sets"].items():
        lines += [_cost(name, variant, found, each["train_bases"]) for variant, found in each["variants"].items() if found["seeds"]]
    lines += ["", _commits(figures["sets"])]
    lines += _verdicts(figures["bars"]) if "bars" in figures else []
    return "\n".join([*lines, *_missing_lines(figures["missing"])])


def _of_set(places: Places, name: str, seeds: list[int], variants: list[str], split: str) -> dict[str, Any]:
    dataset = prepared(places, name, SETS[name])
    tables = fitted(places, name, dataset)
    rivals = of_rivals(places, name, dataset, tables)
    titles = ("best_by_validation", "best_on_test") if split == "test" else ("best_by_validation",)
    best = {title: tables[rivals[title]][split] for title in titles}
    kinds = [(variant, ()) for variant in variants] + _trials(places, name)
    found = {
        Run(name, variant, 0, extra).name: of_variant(places, [Run(name, variant, seed, extra) for seed in seeds], dataset, split, best)
        for variant, extra in kinds
    }
    return {
        "options": SETS[name],
        "bases": int(dataset.lengths.sum()),
        "train_bases": int(dataset.lengths[dataset.indices("train")].sum()),
        "records": {each: len(dataset.indices(each)) for each in ("train", "validation", "test")},
        "classes": dataset.classes,
        "rivals": rivals,
        "variants": {variant: each for variant, each in found.items() if each},
    }


def _trials(places: Places, name: str) -> list[tuple[str, tuple[str, ...]]]:
    folder = places.work / "runs" / name
    names = sorted({path.parent.parent.name for path in folder.glob(f"*/seed_*/{RESULT}")})
    return [(variant, tuple(extra)) for variant, *extra in (each.split("+") for each in names) if extra]


def _head(*columns: str) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _rival_rows(name: str, rivals: dict[str, Any], split: str) -> list[str]:
    chosen = {"best of twelve by validation": "best_by_validation", "best of twelve on test": "best_on_test"}
    shown = {title: rivals[key] for title, key in chosen.items() if split == "test" or key == "best_by_validation"}
    rows = []
    for title, rival in shown.items():
        cells = " | ".join(f"{rivals['each'][rival][split][figure]:.3f}" for figure in FIGURES)
        rows.append(f"| {name}, {title}: {rival} | | {cells} | |")
    return rows


def _row(name: str, variant: str, found: dict[str, Any], split: str) -> str:
    if not found["seeds"]:
        return f"| {name}, {variant} | 0 | failed: {'; '.join(found['failed'])} | | | | |"
    gain = found["against"]["best_on_test" if split == "test" else "best_by_validation"]
    cells = " | ".join(_spread(found[split][figure]) for figure in FIGURES)
    title = f"**{name}, {variant}**" if variant == DEFAULT else f"{name}, {variant}"
    return f"| {title} | {len(found['seeds'])} | {cells} | {gain['difference']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}] |"


def _cost(name: str, variant: str, found: dict[str, Any], bases: int) -> str:
    figures = (f"{found[each]['mean']:,.0f}" for each in ("wall_s", "training_s", "steps", "peak_memory_mb", "parameters"))
    return f"| {name}, {variant} | {'/'.join(found['threads'])} | {' | '.join(figures)} | {bases:,} |"


def _spread(figure: dict[str, Any]) -> str:
    return f"{figure['mean']:.3f}" + ("" if figure["sd"] is None else f" ± {figure['sd']:.3f}")


def _commits(sets: dict[str, Any]) -> str:
    found = {commit for each in sets.values() for variant in each["variants"].values() for commit in variant.get("commit", [])}
    return f"Commits of the runs: {', '.join(sorted(found)) or 'none'}."


def _verdicts(found: dict[str, Any]) -> list[str]:
    rivals, order, time = found["1"], found["2"], found["4"]
    mean = "?" if rivals["mean_difference"] is None else f"{rivals['mean_difference']:+.4f}"
    return [
        f"- Bar 1, interval not wholly below zero: {_each(rivals['not_wholly_below_zero'])}.",
        f"- Bar 1, interval wholly above zero: {_each(rivals['wholly_above_zero'])}.",
        f"- Bar 1, mean difference above zero: {_word(rivals['mean_above_zero'])} ({mean}).",
        f"- Bar 1, longest-ORF rule reached: {_word(rivals['longest_orf_rule_reached'])}.",
        f"- Bar 2, order: {_word(order['accuracy_reached'])}; at chance with mixing off: {_word(order['mixing_off_at_chance'])}.",
        f"- Bar 3, every ablation has run: {_word(found['3']['complete'])}.",
        f"- Bar 4, sets of up to 25 MB of bases in 15 minutes: {_each(time['in_time'])}.",
    ]


def _each(verdicts: dict[str, bool | None]) -> str:
    return ", ".join(f"{name} {_word(verdict)}" for name, verdict in verdicts.items()) or "nothing done"


def _word(verdict: bool | None) -> str:
    return {True: "yes", False: "NO", None: "?"}[verdict]


def _missing_lines(missing_runs: dict[str, dict[str, list[int]]]) -> list[str]:
    lines = [f"- {variant}: {_missing_sets(sets)}" for variant, sets in missing_runs.items() if sets]
    return ["Missing runs:", *lines] if lines else ["Nothing is missing."]


def _missing_sets(sets: dict[str, list[int]]) -> str:
    if len(sets) > _MOST_SETS:
        return f"{len(sets)} sets, {sum(map(len, sets.values()))} runs"
    return ", ".join(f"{name} (seeds {' '.join(map(str, seeds))})" for name, seeds in sets.items())
