"""Does `--error 0.05` keep its promise, and are probabilities chances? Over random partitions of the records that trained runs never trained on.

Each RUN is a run folder of genomix train. The records of its validation and test split are scored once; then they are dealt at random to a calibration and a test
side, as large as the two splits were, 20 times. On the calibration side the temperature and the thresholds are learned, on the test side the rate of sets
without the true label, the size of the sets and the calibration error are read. Beside that the same figures as the run has them, learned on its validation
split (which also chose the weights) and read on its test split.

Writes benchmarks/results/conformal.json.
"""

import json
from pathlib import Path

import numpy as np
from surroundings import arguments, write

from genomix.bundle import Bundle, load_bundle
from genomix.confidence import at_temperature, class_scores, fit_temperature, label_thresholds
from genomix.confidence.conformal import judged_together
from genomix.confidence.figures import set_figures
from genomix.data.balance import weights_for
from genomix.data.store import Dataset
from genomix.evaluate import split_probabilities
from genomix.metrics import headline
from genomix.scorer import PredictSettings, Scorer
from genomix.train.provenance import begun_with

PROMISED = (0.02, 0.07)
"""Where the mean observed error at 0.05 must lie."""

Split = tuple[np.ndarray, np.ndarray]
"""Labels [record] and probabilities [record, class] of one side."""


def held_out(run: Path) -> tuple[str, str, Split, Split]:
    """The data set's name and digest, and the validation and the test split as the network gives them, at temperature 1."""
    folder = run / "dataset"
    dataset = Dataset.open(folder if folder.exists() else begun_with(run))
    name = run.name if folder.exists() else dataset.folder.name
    scorer = raw_scorer(load_bundle(run))
    validation, test = (
        (dataset.label_ids[indices], split_probabilities(scorer, dataset, indices))
        for indices in (dataset.indices("validation"), dataset.indices("test"))
    )
    return name, dataset.digest, validation, test


def raw_scorer(bundle: Bundle) -> Scorer:
    return Scorer(
        bundle.model,
        bundle.tokenizer,
        max_tokens=bundle.model.settings.max_tokens,
        strand=bundle.strand,
        circular=bundle.circular,
        settings=PredictSettings(),
    )


def judged(calibration: Split, test: Split, error: float) -> dict[str, float]:
    """What is learned on one side, as it does on the other."""
    temperature = fit_temperature(*calibration, weights_for(np.full(calibration[1].shape[1], 1 / calibration[1].shape[1]), calibration[0]))
    at_one, tempered = test[1], at_temperature(test[1], temperature)
    scores = class_scores(calibration[0], at_temperature(calibration[1], temperature))
    figures = set_figures(test[0], tempered, label_thresholds(scores, error))
    before, after = headline(test[0], at_one), headline(test[0], tempered)
    return {
        **figures,
        "temperature": temperature,
        "ece_before": before["ece"],
        "ece": after["ece"],
        "log_loss_before": before["log_loss"],
        "log_loss": after["log_loss"],
        "expected_error": expected_error(scores, test[0], error),
    }


def expected_error(scores: tuple, labels: np.ndarray, error: float) -> float:
    """What exchangeable records give on average: floor(error (n + 1)) / (n + 1) for the n records behind a class's threshold. At most `error`."""
    counts = np.array([len(each) for each in scores])
    together = judged_together(counts, error)
    counts[together] = counts[together].sum()
    own = np.floor(error * (counts + 1) + 1e-9) / (counts + 1)
    return float(own[labels].mean())


def partitions(validation: Split, test: Split, error: float, count: int) -> dict:
    """Means and standard deviations over random partitions of the two splits together."""
    labels, probabilities = (np.concatenate(parts) for parts in zip(validation, test, strict=True))
    found = []
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(labels))
        one, other = order[: len(validation[0])], order[len(validation[0]) :]
        found.append(judged((labels[one], probabilities[one]), (labels[other], probabilities[other]), error))
    columns = {name: np.array([each[name] for each in found], dtype=float) for name in found[0]}
    return {name: {"mean": float(np.nanmean(values)), "sd": float(np.nanstd(values))} for name, values in columns.items()}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--error", type=float, default=0.05)
    parser.add_argument("--partitions", type=int, default=20)
    parser.set_defaults(json=Path(__file__).parent / "results" / "conformal.json")
    asked = parser.parse_args()
    results = {}
    for run in asked.runs:
        name, digest, validation, test = held_out(run)
        over = partitions(validation, test, asked.error, asked.partitions)
        results[name] = {
            "dataset_sha256": digest,
            "steps": json.loads((run / "provenance.json").read_text())["training"]["steps"],
            "records": {"calibration": len(validation[0]), "test": len(test[0])},
            "classes": validation[1].shape[1],
            "over_partitions": over,
            "validation_to_test": judged(validation, test, asked.error),
        }
        error, size, ece = (over[name]["mean"] for name in ("observed_error", "size", "ece"))
        print(
            f"{name}: error {error:.3f} (promised {asked.error:g}), {size:.2f} labels a set, ECE {over['ece_before']['mean']:.3f} -> {ece:.3f}"
        )
    mean = float(np.mean([each["over_partitions"]["observed_error"]["mean"] for each in results.values()]))
    kept = PROMISED[0] <= mean <= PROMISED[1]
    print(f"mean observed error {mean:.3f}; {'within' if kept else 'OUTSIDE'} {PROMISED[0]:g} to {PROMISED[1]:g}")
    write(asked.json, {"error": asked.error, "partitions": asked.partitions, "mean_observed_error": mean, "runs": results})


if __name__ == "__main__":
    main()
