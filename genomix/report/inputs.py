"""What a report is made from. Plain values, read off a run folder by the caller."""

from dataclasses import dataclass, field
from typing import Any

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class DataSummary:
    """The data set behind a run.

    Attributes:
        counts: class -> split -> records.
        lengths: shortest, median and longest record, in bases.
        split_method: `cluster`, `stratified`, `group`, `sequence`, `column` or `none`.
        clusters: near-duplicate clusters, where they were looked for.
        largest_cluster: records of the largest one.
        similarity: records at least this similar are near-duplicates, 0 to 1.
        highest_similarity: of a pair of records on two sides of the split: the leak figure.
        notes: sentences on how the split was made.
        divided_groups: groups of the label table with records on several sides of the split.
        overlapping: split -> its intervals of a genome that overlap one of training.
        held_back: a sentence a class that is not in every split.
        rejected: reason -> records left out.
        sources: file names with their sha256, empty where there is none (standard input).
    """

    counts: dict[str, dict[str, int]]
    lengths: tuple[int, int, int]
    split_method: str
    split_seed: int
    clusters: int | None = None
    largest_cluster: int | None = None
    similarity: float | None = None
    highest_similarity: float | None = None
    notes: list[str] = field(default_factory=list)
    held_back: list[str] = field(default_factory=list)
    divided_groups: int = 0
    overlapping: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    sources: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Everything that a report shows. What is None or empty is left out, and the report says so.

    Attributes:
        run: the run folder as the user names it; goes into the commands that the report gives.
        metrics: the content of `evaluation/metrics.json` (see `genomix.metrics.compare`), None without a test split.
        history: the rows of `metrics.jsonl`: `event` is `step` (`step epoch loss lr tokens_per_s`) or `validation` (`step loss accuracy macro_f1 best beyond_start`).
        settings: the resolved settings, TOML.
        provenance: the content of `provenance.json`: `written command versions machine training ...`; nested dictionaries of plain values.
        model: what to say of the network, title -> value.
    """

    run: str
    metrics: dict[str, Any] | None
    history: list[dict[str, Any]]
    data: DataSummary | None
    settings: str
    provenance: dict[str, Any]
    model: dict[str, Any]
