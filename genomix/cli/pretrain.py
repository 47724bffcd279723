"""`genomix pretrain`."""

from pathlib import Path
from typing import Annotated

import typer

from genomix.cli import sources as given
from genomix.cli.choices import Device, Precision
from genomix.cli.talk import say


def pretrain(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Sequence files, a folder of them, or a dataset folder. FASTA, FASTQ, GenBank or EMBL, compressed or not; - is stdin. "
            "Labels are not used; of a dataset folder the test split is not read.",
            metavar="SOURCES...",
        ),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.", metavar="DIR")],
    preset: Annotated[str | None, typer.Option(help="Network and recipe to start from; train --init needs the same [base].")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file, such as the run.toml of an earlier run.", metavar="TOML")] = None,
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
    device: Annotated[Device | None, typer.Option(help="What to run on; auto takes an accelerator where there is one.")] = None,
    devices: Annotated[int | None, typer.Option(help="Processes, one a device.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="bf16 is faster on recent accelerators.")] = None,
    init: Annotated[Path | None, typer.Option(help="Go on from the body of this model, pretrained or trained.", metavar="MODEL")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder, where there is one.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in the folder.")] = False,
) -> None:
    """Let a network learn from sequences without labels, by guessing hidden spans; train --init starts from what it learnt."""
    options = {
        "data.split.similarity": similarity,
        "data.split.seed": seed,
        "data.cleaning.min_length": min_length,
        "data.cleaning.max_ambiguous": max_ambiguous,
        "data.circular": circular or None,
        "data.strand": strand and strand.value,
        "train.seed": seed,
        "train.strand": strand and strand.value,
        "train.device": device and device.value,
        "train.devices": devices,
        "train.precision": precision and precision.value,
        "train.init": init and str(init.resolve()),
    }
    from genomix.pretraining import pretrain_run
    from genomix.runs import resolve_run
    from genomix.settings.run import PretrainRunSettings

    settings = resolve_run(
        output, model=PretrainRunSettings, preset=preset, config=config, assignments=assignments or (), options=options, resume=resume
    )
    finished = pretrain_run(sources or [], settings, output, resume=resume, force=force)
    if finished.speaks:
        say([*finished.result.summary(), f"genomix train LABELLED_SEQUENCES --init {output} starts from it"])
        typer.echo(str(output))
