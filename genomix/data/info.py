"""`dataset.json`, what a dataset says of itself, and its summary in a few lines."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

import genomix
from genomix.data.division import Division
from genomix.data.record_table import RecordTable
from genomix.data.sketches import FEW_HASHES
from genomix.data.splits import SPLITS
from genomix.data.store import INFO_FILE, SCHEMA_VERSION, SIMILARITY_FILE, file_entry
from genomix.formats.opening import STDIN


def source_entry(path: str, label: str | None, stop: Event | None = None) -> dict[str, Any]:
    """What `dataset.json` keeps of an input; size and sha256 are null for one that can be read only once: standard input, a pipe. `stop` is as for `file_entry`."""
    readable_again = path != STDIN and Path(path).is_file()
    content = file_entry(Path(path), stop) if readable_again else {"bytes": None, "sha256": None}
    return {"path": path, "label": label, **content}


def dataset_info(table: RecordTable, rows: np.ndarray, division: Division, *, rejected: dict[str, int]) -> dict[str, Any]:
    """What `dataset.json` says of the records.

    Args:
        rows: int [row], which records of the table are kept.
        rejected: reason -> records left out.
    """
    labels = Counter(table.labels[row] for row in rows)
    return {
        "schema_version": SCHEMA_VERSION,
        "genomix": genomix.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "counts": {
            "records": len(rows),
            "bases": int(np.asarray(table.lengths)[rows].sum()),
            "rejected": dict(sorted(rejected.items())),
            "classes": {label: labels[label] for label in sorted(labels) if label},
            "splits": {split: division.splits.count(split) for split in SPLITS} if division.figures else {},
        },
        "split": division.figures,
    }


def write_info(folder: Path, info: dict[str, Any]) -> None:
    (folder / INFO_FILE).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def summary_lines(info: dict[str, Any]) -> list[str]:
    """A dataset in a few lines for its maker."""
    counts, split = info["counts"], info["split"]
    of_classes = f" of {len(counts['classes'])} classes" if counts["classes"] else " without labels (nothing can be trained on them)"
    lines = [f"{_counted(counts['records'], 'record')}{of_classes}, {_counted(counts['bases'], 'base')}"]
    lines += left_out_lines(info)
    if split is not None:
        sizes = ", ".join(f"{name} {count:,}" for name, count in counts["splits"].items())
        drawn = "" if split["method"] == "column" else f", seed {split['seed']}"
        lines.append(f"split by {split['method']}{drawn}: {sizes}")
        lines.append(
            f"near-duplicates: {_counted(split['clusters'], 'cluster')} at similarity {split['similarity']:g}, "
            f"the largest of {_counted(split['largest_cluster'], 'record')}; {_leak_words(split['highest_similarity'])}"
        )
        lines += _sketch_lines(split)
        lines += [_held_out_line(name, figures) for name, figures in split["held_out"].items()]
        lines += split["notes"]
    return lines


def left_out_lines(info: dict[str, Any], table: str = "rejected.tsv") -> list[str]:
    """How many records were left out, by reason; none where none was.

    Args:
        table: where each one stands, for the reader.
    """
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in info["counts"]["rejected"].items())
    return [f"left out: {reasons} (each with its reason in {table})"] if reasons else []


def _leak_words(similarity: float) -> str:
    if not similarity:
        return "no two records on two sides of the split share a sketched 16-mer"
    return f"the most alike records on two sides of the split: {similarity:.4f}"


def _sketch_lines(split: dict[str, Any]) -> list[str]:
    """Where the sketches say little, or nothing, of what is alike; older datasets lack these figures."""
    lines = []
    if unknown := split.get("uncompared_records"):
        lines.append(f"{_counted(unknown, 'record')} without any 16-mer that is compared: no near-duplicates of those are known")
    if (median := split.get("median_hashes", FEW_HASHES)) < FEW_HASHES:
        lines.append(f"near-duplicates are known only roughly: half of the records are compared by {median:g} 16-mers or fewer")
    return lines


def _held_out_line(name: str, figures: dict[str, Any]) -> str:
    return (
        f"{name}: {figures['near_duplicates']:,} of {_counted(figures['records'], 'record')} have a near-duplicate in train "
        f"({SIMILARITY_FILE} has each)"
    )


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"
