"""`genomix train`."""

from pathlib import Path
from typing import Annotated

import typer

from genomix.cli import sources as given
from genomix.cli import training as running
from genomix.cli.talk import say


def train(
    sources: given.TrainSources = None,
    *,
    output: running.Output,
    preset: Annotated[str | None, typer.Option(help="Network and recipe to start from; genomix models list names them [base].")] = None,
    config: running.Config = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as --set train.learning_rate=1e-3; may be repeated."),
    ] = None,
    labels: given.Labels = None,
    id_column: given.IdColumn = None,
    label_column: given.LabelColumn = None,
    group_column: given.GroupColumn = None,
    split_column: given.SplitColumn = None,
    allow_missing: given.AllowMissing = False,
    label_regex: given.LabelRegex = None,
    intervals: given.Intervals = None,
    genome: given.Genome = None,
    manifest: given.ManifestName = None,
    split: given.Split = None,
    similarity: given.Similarity = None,
    fractions: given.Fractions = None,
    conflicts: given.OnConflict = None,
    min_length: given.MinLength = None,
    max_ambiguous: given.MaxAmbiguous = None,
    min_class: given.MinClass = None,
    circular: given.Circular = False,
    strand: given.WhichStrand = None,
    seed: Annotated[int | None, typer.Option(help="Draws the split, the starting weights and the order of records.")] = None,
    device: running.RunsOn = None,
    devices: running.Processes = None,
    precision: running.InPrecision = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Start from the body of this model, pretrained or trained, rather than from scratch.", metavar="MODEL"),
    ] = None,
    resume: running.Resume = False,
    force: running.Force = False,
) -> None:
    """Train a classifier on labelled sequences, or on a dataset folder, and evaluate it on the records held out."""
    options = given.data_options(locals()) | running.training_options(locals())
    from genomix.beginning import require_possible, resolve_run
    from genomix.settings.run import RunSettings

    settings = resolve_run(
        output, model=RunSettings, preset=preset, config=config, assignments=assignments or (), options=options, resume=resume
    )
    require_possible(sources or [], settings, output, resume=resume, force=force)
    from genomix.runs import run  # loads torch, so that it comes after what can be said without

    finished = run(sources or [], settings, output, resume=resume, force=force)
    if finished.speaks:
        say([*finished.summary(), f"report: {output / 'report.html'}"])
        typer.echo(str(output))
