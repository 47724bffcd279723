"""What pretraining gains with few labels: insect orders from 50 records a class, with and without `train --init`.

All training records, without their labels, are pretrained on. Then networks are trained on 50 records a class, from four starts: `spectral few`, the
spectral start of these few records; `spectral all`, that of all training records (pretraining of one step that changes nothing: what more unlabelled
records are worth without any training on them); `pretrained`, the body that pretraining with its defaults left; `pretrained from random`, that of
pretraining whose embedding started at random and learnt at the full rate. Records are shown in pieces, so that two cores need minutes. Every figure is of
the validation split; the test rows are left out before preprocessing.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from surroundings import arguments, write

from genomix.data.labels import LabelSettings
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.data.store import Dataset
from genomix.pretraining import pretrain_run
from genomix.settings import resolve
from genomix.settings.run import PretrainRunSettings, RunSettings
from genomix.train.history import read_history
from genomix.train.run import train

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "insect_mito_orders"
A_CLASS = 50
NO_CHANGE = ("train.steps=1", "train.learning_rate=1e-9")
FROM_RANDOM = ("train.embedding_start=random", "train.embedding_rate=1.0")


def dataset_of(rows: pd.DataFrame, folder: Path) -> Dataset:
    """A dataset of these rows of the label table only."""
    folder.mkdir()
    rows.to_csv(folder / "labels.tsv", sep="\t", index=False)
    labels = LabelSettings(table=str(folder / "labels.tsv"))
    settings = PreprocessSettings(labels=labels, split=SplitSettings(method="column"), circular=True)
    return preprocess([str(DATA / "sequences.fasta.gz")], settings, folder / "dataset")


def few_labels(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """At most `A_CLASS` training records of each class, and all validation records."""
    drawn = rows[rows["split"] == "train"].groupby("label").sample(frac=1, random_state=seed).groupby("label").head(A_CLASS)
    return pd.concat([drawn, rows[rows["split"] == "validation"]])


def pretrained_on(dataset: Dataset, folder: Path, changes: tuple[str, ...]) -> dict[str, Any]:
    settings = resolve(PretrainRunSettings, default_preset="base", assignments=changes, environment={})
    result = pretrain_run([str(dataset.folder)], settings, folder).result
    figures = {name: getattr(result, name) for name in ("loss", "overall", "own_record", "own_bases", "lead", "chance")}
    return {"settings": list(changes), **figures}


def judged(dataset: Dataset, folder: Path, init: Path | None, seed: int, changes: tuple[str, ...]) -> dict[str, float]:
    """Train, and give the validation figures of the weights that are kept."""
    start = () if init is None else (f"train.init={init}",)
    settings = resolve(RunSettings, default_preset="base", assignments=(*changes, *start, f"train.seed={seed}"), environment={})
    train(dataset, settings.tokenizer, settings.model, settings.train, folder)
    rows = [row for row in read_history(folder / "metrics.jsonl") if row["event"] == "validation"]
    best = min(rows, key=lambda row: row["loss"])
    return {"macro_f1": best["macro_f1"], "log_loss": best["loss"]}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--piece", type=int, default=4_096, help="tokens shown at once")
    parser.add_argument("--pretraining-steps", type=int, default=200)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    if not DATA.is_dir():
        print("no development data beside the checkout (../shared/data/insect_mito_orders): nothing to measure")
        return
    piece = f"model.max_tokens={asked.piece}"
    rows = pd.read_csv(DATA / "labels.tsv", sep="\t", dtype=str, keep_default_na=False)
    rows = rows[rows["split"] != "test"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        everything = dataset_of(rows, folder / "all")
        long = (piece, f"train.steps={asked.pretraining_steps}", "train.validations=4")
        bodies = {
            "spectral all": pretrained_on(everything, folder / "spectral all", (piece, *NO_CHANGE)),
            "pretrained": pretrained_on(everything, folder / "pretrained", long),
            "pretrained from random": pretrained_on(everything, folder / "pretrained from random", (*long, *FROM_RANDOM)),
        }
        short = (piece, f"train.steps={asked.steps}", "train.validations=1")
        figures: dict[str, list[dict[str, float]]] = {start: [] for start in ("spectral few", *bodies)}
        for seed in range(asked.seeds):
            few = dataset_of(few_labels(rows, seed), folder / f"few {seed}")
            for start, found in figures.items():
                init = folder / start if start in bodies else None
                found.append(judged(few, folder / f"{start} {seed}", init, seed, short))
                print(f"seed {seed}, {start}: macro-F1 {found[-1]['macro_f1']:.3f}, log loss {found[-1]['log_loss']:.3f}", flush=True)
    for start, found in figures.items():
        scores = [each["macro_f1"] for each in found]
        print(f"{start}: validation macro-F1 {statistics.mean(scores):.3f} ± {statistics.stdev(scores) if len(scores) > 1 else 0:.3f}")
    for start, found in bodies.items():
        composed = (
            f"overall composition {found['overall']:.4f}, the record's own {found['own_record']:.4f}, its bases {found['own_bases']:.4f}"
        )
        print(f"{start}: held-out loss {found['loss']:.4f}; {composed}")
    write(asked.json, {"data": DATA.name, "labels_a_class": A_CLASS, "training": list(short), "bodies": bodies, "validation": figures})


if __name__ == "__main__":
    main()
