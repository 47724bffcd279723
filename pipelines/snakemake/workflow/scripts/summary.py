"""One row for each dataset, run, seed and split: what the networks reached, and the best baseline beside them.

Snakemake runs this file with an object `snakemake` in it.
"""

import csv
import json
from pathlib import Path

FIGURES = ("macro_f1", "accuracy", "balanced_accuracy", "mcc", "roc_auc", "log_loss", "ece")
COLUMNS = ("dataset", "run", "seed", "split", "records", *FIGURES, "best_baseline", "best_baseline_macro_f1")


def rows(validation: str) -> list[dict]:
    """The rows of one run, whose validation figures lie in the file `results/DATASET/RUN/seed-SEED/validation/metrics.json`."""
    folder = Path(validation).parent.parent
    *_, dataset, run, seed = folder.parts
    files = (Path(validation), folder / "run" / "evaluation" / "metrics.json")  # the second only where there is a test split
    place = {"dataset": dataset, "run": run, "seed": seed.removeprefix("seed-")}
    return [place | figures(json.loads(file.read_text(encoding="utf-8"))) for file in files if file.exists()]


def figures(metrics: dict) -> dict:
    """What the table says of one evaluation."""
    row = {name: metrics.get(name) for name in ("split", "records", *FIGURES)}
    baselines = {name: each["macro_f1"] for name, each in metrics.get("baselines", {}).items() if each.get("macro_f1") is not None}
    if baselines:
        row["best_baseline"] = max(baselines, key=baselines.__getitem__)
        row["best_baseline_macro_f1"] = baselines[row["best_baseline"]]
    return row


def write(validations: list[str], path: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, dialect="excel-tab", lineterminator="\n")
        table.writeheader()
        for validation in validations:
            table.writerows(rows(validation))


if "snakemake" in globals():
    write(snakemake.input.validation, snakemake.output[0])  # noqa: F821 - see above
