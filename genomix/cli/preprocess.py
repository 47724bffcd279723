"""`genomix preprocess`."""

from pathlib import Path
from typing import Annotated

import typer

from genomix.cli import sources as given
from genomix.cli.talk import say


def preprocess(
    output: Annotated[Path, typer.Option("--output", "-o", help="Dataset folder to make.", metavar="DIR")],
    sources: given.Sources = None,
    *,
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
    seed: given.Seed = None,
    similarity: given.Similarity = None,
    fractions: given.Fractions = None,
    conflicts: given.OnConflict = None,
    min_length: given.MinLength = None,
    max_ambiguous: given.MaxAmbiguous = None,
    min_class: given.MinClass = None,
    circular: given.Circular = False,
    strand: given.WhichStrand = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file; its [data] table is read.", metavar="TOML")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")] = False,
) -> None:
    """Turn labelled sequences into a dataset: cleaned, split, ready to train on. Prints the folder."""
    options = given.data_options(locals())
    from genomix.data.info import summary_lines
    from genomix.data.preprocess import PreprocessTables
    from genomix.data.preprocess import preprocess as make_dataset
    from genomix.processes import require_alone
    from genomix.settings import resolve

    require_alone("preprocess", "start it without; training then shares the dataset")
    settings = resolve(PreprocessTables, config=config, options=options)
    dataset = make_dataset(sources or [], settings.data, output, force=force)
    say(summary_lines(dataset.info))
    typer.echo(str(output))
