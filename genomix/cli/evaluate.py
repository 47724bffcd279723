"""`genomix evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from genomix.cli.choices import Device, Split, Unknown
from genomix.cli.talk import say
from genomix.processes import Processes, launched

UnknownClasses = Annotated[
    Unknown, typer.Option("--unknown", help="Records of classes that the model does not know: stop with an error, or leave them out.")
]


def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder, or the run folder that it is in.", metavar="MODEL")],
    dataset: Annotated[Path, typer.Argument(help="Dataset folder, as preprocess writes it.", metavar="DATASET")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for metrics.json and predictions.tsv; - is stdout, metrics alone.", metavar="DIR"),
    ] = None,
    split: Annotated[Split, typer.Option("--split", help="Which records to score.")] = Split.test,
    baselines: Annotated[bool, typer.Option(help="Fit baselines on the dataset's training split and score them beside the model.")] = True,
    checks: Annotated[
        bool, typer.Option(help="Score shuffled and cropped records too: does order matter, at which lengths does it hold?")
    ] = True,
    unknown: UnknownClasses = Unknown.error,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap and of the checks.")] = 0,
    device: Annotated[Device, typer.Option(help="What to run on; auto takes an accelerator where there is one.")] = Device.auto,
    force: Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")] = False,
) -> None:
    """Score a trained model on one split of a dataset, beside baselines; metrics.json goes to stdout unless -o is given, which writes what is said of each record too."""
    import json

    from genomix.audit import audit_lines
    from genomix.bundle import load_bundle
    from genomix.data.store import Dataset
    from genomix.evaluate import METRICS_FILE, write_metrics
    from genomix.evaluate import evaluate as evaluate_model
    from genomix.evaluated import EVALUATED_FILE, Evaluated, write_evaluated
    from genomix.metrics import summary_lines
    from genomix.outputs import require_folder, require_free, require_writable

    if str(output) == "-":
        output = None
    if output is not None:
        require_folder(output)
        for name in (METRICS_FILE, EVALUATED_FILE):
            require_free(output / name, force=force)
        require_writable(output / METRICS_FILE)
    processes = _processes(device.value)
    bundle, data = load_bundle(model, device=device.value), Dataset.open(dataset)
    kept: list[Evaluated] = []
    metrics = evaluate_model(
        bundle,
        data,
        split=split.value,
        baselines=baselines,
        checks=checks,
        unknown=unknown.value,
        seed=seed,
        processes=processes,
        keep=kept.append,
    )
    if not processes.is_first:
        return
    say([*summary_lines(metrics), *audit_lines(metrics)])
    if output is None:
        typer.echo(json.dumps(metrics, indent=2, ensure_ascii=False))
    else:
        for each in kept:
            write_evaluated(each, data, output)
        typer.echo(str(write_metrics(metrics, output)))


def _processes(device: str) -> Processes:
    """Those of a launcher; Lightning, which brings them together and takes seconds to load, has no part in one process alone."""
    if launched() is None:
        return Processes()
    from genomix.train.devices import joined

    return joined(device)
