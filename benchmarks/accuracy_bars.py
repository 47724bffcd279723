"""The bars of issue 3 that accuracy on the eight sets decides; each verdict is True, False, or None where runs are missing."""

import statistics
from typing import Any

from accuracy_sets import DEFAULT, SETS, VARIANTS, Run

MUST_WIN = ("plasmid_host_genus", "mito_kingdoms", "mouse_coding_vs_lncrna_2kb")
LONGEST_ORF_RULE = 0.955
"""Macro-F1 of the longest open reading frame on the coding transcripts; see the README of the data."""

ORDER_SET, ORDER_ACCURACY = "mito_order_24kb", 0.98
CHANCE = (0.43, 0.57)
"""Of two equal classes, 200 records: the binomial's 95 % interval around a half."""

SMALL_BASES, SMALL_SECONDS = 25_000_000, 15 * 60


def bars(sets: dict[str, Any], seeds: list[int]) -> dict[str, Any]:
    """Verdicts on `figures["sets"]` of `accuracy_table.collected`."""
    whole = {name: each["variants"][DEFAULT] for name, each in sets.items() if set(_seeds(each, DEFAULT)) >= set(seeds)}
    return {
        "1": _against_rivals(whole),
        "2": _order(sets.get(ORDER_SET), whole.get(ORDER_SET), seeds),
        "3": {"complete": not any(missing(sets, seeds, list(VARIANTS)).values())},
        "4": _time(sets, whole),
    }


def missing(sets: dict[str, Any], seeds: list[int], variants: list[str]) -> dict[str, dict[str, list[int]]]:
    """Variant -> set -> the seeds that have neither a result nor a failure."""
    return {
        variant: {
            name: absent
            for name in SETS
            if not Run(name, variant, 0).redundant
            and not _failed(sets.get(name), variant)
            and (absent := [seed for seed in seeds if seed not in _seeds(sets.get(name), variant)])
        }
        for variant in variants
    }


def _against_rivals(whole: dict[str, Any]) -> dict[str, Any]:
    gains = {name: each["against"]["best_on_test"] for name, each in whole.items()}
    complete = set(gains) == set(SETS)
    coding = whole.get("mouse_coding_vs_lncrna_2kb")
    return {
        "not_wholly_below_zero": {name: gain["high"] >= 0 for name, gain in gains.items()},
        "wholly_above_zero": {name: gains[name]["low"] > 0 if name in gains else None for name in MUST_WIN},
        "mean_difference": statistics.mean(gain["difference"] for gain in gains.values()) if complete else None,
        "mean_above_zero": statistics.mean(gain["difference"] for gain in gains.values()) > 0 if complete else None,
        "longest_orf_rule_reached": coding["test"]["macro_f1"]["mean"] >= LONGEST_ORF_RULE if coding else None,
    }


def _order(figures: dict[str, Any] | None, default: dict[str, Any] | None, seeds: list[int]) -> dict[str, Any]:
    off = figures["variants"]["mixing_off"] if figures and set(_seeds(figures, "mixing_off")) >= set(seeds) else None
    return {
        "accuracy_reached": default["test"]["accuracy"]["mean"] >= ORDER_ACCURACY if default else None,
        "mixing_off_at_chance": CHANCE[0] <= off["test"]["accuracy"]["mean"] <= CHANCE[1] if off else None,
    }


def _time(sets: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """Wall time of the whole `genomix train`, reading the test split and fitting the baselines included."""
    longest = {name: max(each["wall_s"]["values"]) for name, each in whole.items()}
    small = {name: longest[name] <= SMALL_SECONDS for name in longest if sets[name]["bases"] <= SMALL_BASES}
    return {"longest_s": longest, "in_time": small}


def _seeds(figures: dict[str, Any] | None, variant: str) -> list[int]:
    return (figures or {"variants": {}})["variants"].get(variant, {}).get("seeds", [])


def _failed(figures: dict[str, Any] | None, variant: str) -> bool:
    return bool((figures or {"variants": {}})["variants"].get(variant, {}).get("failed"))
