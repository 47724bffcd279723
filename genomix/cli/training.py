"""The options that every command that trains has: where the run goes and what it runs on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from genomix.cli.choices import Device, Precision

Output = Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.", metavar="DIR")]
Config = Annotated[Path | None, typer.Option(help="Settings file, such as the run.toml of an earlier run.", metavar="TOML")]
RunsOn = Annotated[Device | None, typer.Option(help="What to run on; auto takes an accelerator where there is one.")]
Processes = Annotated[int | None, typer.Option(help="Processes, one a device.")]
InPrecision = Annotated[Precision | None, typer.Option(help="bf16 is faster on recent accelerators.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder, where there is one.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the run in the folder.")]


def training_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Full name of a setting -> what the command line says; `parameters` are the command's, as `locals()` gives them in its first line."""
    words = {name: value and value.value for name, value in parameters.items() if name in {"strand", "device", "precision"}}
    init = parameters["init"]
    return {
        "train.seed": parameters["seed"],
        "train.strand": words["strand"],
        "train.device": words["device"],
        "train.devices": parameters["devices"],
        "train.precision": words["precision"],
        "train.init": init and str(init.resolve()),
    }
