"""`genomix plan`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from genomix.cli import training as running
from genomix.cli.choices import Device, bytes_of
from genomix.cli.files import named, read_too
from genomix.cli.talk import say


def plan(
    *,
    lengths: Annotated[
        list[str],
        typer.Option(
            "--lengths",
            help="Bases of a record, or several (10000,4.6Mb); or a sequence file, or a dataset folder.",
            metavar="N|FASTA|DATASET",
        ),
    ],
    preset: Annotated[str | None, typer.Option(help="Network and recipe to plan with; genomix models list names them [base].")] = None,
    config: running.Config = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as --set model.blocks=4; may be repeated."),
    ] = None,
    device: Annotated[Device | None, typer.Option(help="What to run on; auto takes an accelerator where there is one [auto].")] = None,
    memory: Annotated[float | None, typer.Option(help="GiB to plan with; default: what is free on the device.", min=0)] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File to write the plan to; - prints it in place of the table.", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """What a preset needs for records of these lengths: memory, time, and what fits.

    Runs the network on three short records on the device, and extrapolates.
    """
    from genomix.outputs import require_apart, require_file, require_free, require_writable
    from genomix.plan import make_plan, plan_text, write_plan
    from genomix.planning.lengths import read_lengths
    from genomix.settings import resolve
    from genomix.settings.run import RunSettings

    printed = json_file is not None and named(str(json_file)) == "-"
    if json_file is not None and not printed:
        require_file(json_file)
        require_apart(json_file, [*lengths, *_files_in(lengths), *read_too(config)])
        require_free(json_file, force=force)
        require_writable(json_file)
    options = {"train.device": None if device is None else device.value}
    settings = resolve(RunSettings, preset=preset, default_preset="base", config=config, assignments=assignments or (), options=options)
    made = make_plan(settings, read_lengths(lengths), memory=bytes_of(memory))
    if printed:
        typer.echo(plan_text(made), nl=False)
        return
    typer.echo("\n".join(made.table()))
    if json_file is not None:
        write_plan(made, json_file)
        say([f"written to {json_file}"])


def _files_in(words: list[str]) -> list[Path]:
    """Of the folders among `--lengths`; a word may be a long list of numbers."""
    return [file for word in words if os.path.isdir(word) for file in Path(word).iterdir()]  # noqa: PTH112 - Path.is_dir raises where a name is too long
