"""`genomix pretrain`."""

from pathlib import Path
from typing import Annotated

import typer

from genomix.cli import sources as given
from genomix.cli import training as running
from genomix.cli.talk import say


def pretrain(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Sequence files, folders (all sequence files below them), or a dataset folder. FASTA, FASTQ, GenBank or EMBL, compressed or not; - is stdin. "
            "Labels are not used; of a dataset folder the test split is not read.",
            metavar="SOURCES...",
        ),
    ] = None,
    *,
    output: running.Output,
    preset: Annotated[str | None, typer.Option(help="Network and recipe to start from; train --init needs the same [base].")] = None,
    config: running.Config = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as --set masking.share=0.2; may be repeated."),
    ] = None,
    similarity: given.Similarity = None,
    min_length: given.MinLength = None,
    max_ambiguous: given.MaxAmbiguous = None,
    circular: given.Circular = False,
    strand: given.WhichStrand = None,
    seed: Annotated[int | None, typer.Option(help="Draws the records held out, the starting weights and what is hidden.")] = None,
    device: running.RunsOn = None,
    devices: running.Processes = None,
    precision: running.InPrecision = None,
    init: Annotated[Path | None, typer.Option(help="Go on from the body of this model, pretrained or trained.", metavar="MODEL")] = None,
    resume: running.Resume = False,
    force: running.Force = False,
) -> None:
    """Let a network learn from sequences without labels, by guessing hidden spans; train --init starts from what it learnt."""
    options = given.data_options(locals()) | running.training_options(locals())
    from genomix.beginning import require_possible, resolve_run, without_labels
    from genomix.settings.run import PretrainRunSettings

    settings = resolve_run(
        output, model=PretrainRunSettings, preset=preset, config=config, assignments=assignments or (), options=options, resume=resume
    )
    settings = without_labels(sources or [], settings, output)
    require_possible(sources or [], settings, output, resume=resume, force=force)
    from genomix.pretraining import next_command, pretrain_run  # loads torch, so that it comes after what can be said without

    finished = pretrain_run(sources or [], settings, output, resume=resume, force=force)
    if finished.speaks:
        say([*finished.result.summary(), f"{next_command(output, preset)} starts from it"])
        typer.echo(str(output))
