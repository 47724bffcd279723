"""Results that look like a shortcut: what length, GC content or a look at the most similar training record explains by itself.

A trait is reported where it does well in one of two senses, on the split that is evaluated:
- over all classes: the lower end of the interval of its balanced accuracy is `MARGIN` above chance, and it makes at least half (`SHARE`) of the way from
  chance to the network's balanced accuracy. Chance is 1 / classes for every classifier that knows nothing, whatever the class balance. Where classes have no
  records it is the most that such a classifier can expect, 1 / tested classes: what it says of the others is lost.
- of one class: the lower end of the interval of its ROC AUC, the class against the rest, is at least `NOTED_AUC`; from `CLEAR_AUC` on it is a warning.
"""

from typing import Any

import numpy as np

from genomix.data.label_text import listed
from genomix.metrics import bootstrap_intervals

MARGIN = 0.1
SHARE = 0.5
NOTED_AUC = 0.8
CLEAR_AUC = 0.95
ALIKE = 0.9
"""Similarity from which a record is a relative of its nearest training record. A shared tenth of otherwise unrelated records is 0.87 alike."""

FEWEST_OF_A_CLASS = 5
"""With fewer records in or outside a class its AUC says nothing."""

_MOST_CLASSES = 20
"""Classes, those of highest AUC, whose intervals are drawn; more would take minutes."""
RESAMPLES = 200
"""Of each interval that the audit draws."""

TRAITS = {"length": "length", "gc": "GC content"}

_ADVICE = {
    "length": "If length is not part of the question, crop all records to one length and train again.",
    "gc": "If composition can come from how the records were made (laboratory, assembly, database) and not from what the classes are, balance it first.",
}


def find_shortcuts(
    labels: np.ndarray,
    classes: tuple[str, ...],
    baselines: dict[str, np.ndarray],
    metrics: dict[str, Any],
    *,
    groups: np.ndarray | None,
    seed: int,
) -> dict[str, Any] | None:
    """The `audit` section of `metrics.json`; None without baselines.

    Args:
        labels: int [record].
        baselines: name -> probabilities, float64 [record, class].
        metrics: what `genomix.metrics.compare` made of them.

    Returns:
        `chance`, None where all records are of one class, and `omitted` says so then; `traits`: name -> `balanced_accuracy interval share` (`share` of the network's way above chance, None where it is not above chance) and
        `classes`, those told apart, with `class roc_auc low`; `findings`: `name kind title text`, kind `warning` or `note`.
    """
    if not baselines:
        return None
    tested = len(np.unique(labels))
    if tested == 1:
        return {"chance": None, "traits": {}, "findings": [], "omitted": "all records are of one class, so there is nothing to tell apart"}
    chance = 1 / tested
    traits = {}
    for name in TRAITS:
        traits[name] = _above_chance(metrics, name, chance) | {
            "classes": _classes_told_apart(labels, classes, baselines[name], groups=groups, seed=seed)
        }
    findings = [finding for name in TRAITS if (finding := _trait_finding(name, traits[name], metrics, chance))]
    if nearest := _nearest_finding(metrics, chance):
        findings.append(nearest)
    return {"chance": chance, "traits": traits, "findings": findings}


def _above_chance(metrics: dict[str, Any], name: str, chance: float) -> dict[str, Any]:
    reached, ours = metrics["baselines"][name]["balanced_accuracy"], metrics["balanced_accuracy"]
    return {
        "balanced_accuracy": reached,
        "interval": metrics["baseline_intervals"][name]["balanced_accuracy"],
        "share": (reached - chance) / (ours - chance) if ours > chance else None,
    }


def _classes_told_apart(
    labels: np.ndarray, classes: tuple[str, ...], probabilities: np.ndarray, *, groups: np.ndarray | None, seed: int
) -> list[dict[str, Any]]:
    """Classes that are told from the rest, the clearest first."""
    from sklearn.metrics import roc_auc_score

    counts = np.bincount(labels, minlength=len(classes))
    judged = np.flatnonzero(np.minimum(counts, len(labels) - counts) >= FEWEST_OF_A_CLASS)
    areas = {int(index): float(roc_auc_score(labels == index, probabilities[:, index])) for index in judged}
    found = []
    for index in sorted(areas, key=lambda index: -areas[index])[:_MOST_CLASSES]:
        if areas[index] < NOTED_AUC:
            break
        own = probabilities[:, index]
        interval = bootstrap_intervals(
            (labels == index).astype(np.int64), np.column_stack([1 - own, own]), groups=groups, resamples=RESAMPLES, seed=seed
        )["roc_auc"]
        if interval is not None and interval[0] >= NOTED_AUC:
            found.append({"class": classes[index], "roc_auc": areas[index], "low": interval[0]})
    return found


def _trait_finding(name: str, trait: dict[str, Any], metrics: dict[str, Any], chance: float) -> dict[str, str] | None:
    apart = trait["classes"]
    much = _well_above(trait["interval"], chance) and (trait["share"] is None or trait["share"] >= SHARE)
    if not much and not apart:
        return None
    text = (
        f"{_capital(TRAITS[name])} alone reaches a balanced accuracy of {trait['balanced_accuracy']:.3f} "
        f"({_chance_words(metrics, chance)}, network {metrics['balanced_accuracy']:.3f})"
    )
    if apart and len(metrics["classes"]) > 2:
        named = listed([f"{each['class']} ({each['roc_auc']:.2f})" for each in apart])
        text += f", and tells these classes from the rest (ROC AUC): {named}"
    warning = much or any(each["low"] >= CLEAR_AUC for each in apart)
    return {
        "name": name,
        "kind": "warning" if warning else "note",
        "title": f"Shortcut: {TRAITS[name]}" if warning else f"{_capital(TRAITS[name])} tells something",
        "text": f"{text}. {_ADVICE[name]}",
    }


def _nearest_finding(metrics: dict[str, Any], chance: float) -> dict[str, str] | None:
    """Where the network is not shown to do better than the label of the most similar training record, which on the training split is the record itself."""
    if metrics["split"] == "train":
        return None
    gain = metrics["gains"]["nearest"]
    if gain["low"] is None or gain["low"] > 0 or not _well_above(metrics["baseline_intervals"]["nearest"]["balanced_accuracy"], chance):
        return None
    return {
        "name": "nearest",
        "kind": "warning",
        "title": "Memory would do",
        "text": f"The label of the most similar training record reaches a balanced accuracy of {metrics['baselines']['nearest']['balanced_accuracy']:.3f} "
        f"(network {metrics['balanced_accuracy']:.3f}), {_why_nearest(metrics)}",
    }


def _why_nearest(metrics: dict[str, Any]) -> str:
    """What the nearest record's label shows, and what to do: a short stretch that marks a class also makes it right, without any relative."""
    alike = sum(row["records"] for row in (metrics.get("by_similarity") or {}).get("bins", []) if row["low"] >= ALIKE)
    if 2 * alike > metrics["records"]:
        return (
            f"and most of the {metrics['split']} records are relatives of training records ({alike:,} of {metrics['records']:,} are at least {ALIKE:g} alike): "
            "nothing here shows how the network does on others. A split by group, or a lower --similarity, would."
        )
    return (
        f"so the {metrics['split']} records share sequence with training records of their class: they are relatives, or carry a marker of the class. "
        "Nothing here shows that the network knows more than a look-up. If they may be relatives, a split by group or a lower --similarity would tell."
    )


def _chance_words(metrics: dict[str, Any], chance: float) -> str:
    absent = any(not row["support"] for row in metrics["per_class"])
    return f"by chance at most {chance:.3f}" if absent else f"chance {chance:.3f}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _well_above(interval: list[float] | None, chance: float) -> bool:
    return interval is not None and interval[0] >= chance + MARGIN
