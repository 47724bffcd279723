"""`genomix models`: the presets that training starts from, and the trained models that it ends with."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List presets and trained models, show one, check one.", rich_markup_mode=None, no_args_is_help=True)


@app.command("list")
def list_models(
    folder: Annotated[Path | None, typer.Argument(help="Look for trained models below this folder too.")] = None,
) -> None:
    """Presets, with what each is for; and the trained models below a folder."""
    from genomix.bundle import find_models
    from genomix.settings.presets import describe_presets

    for name, purpose in describe_presets():
        typer.echo(f"{name}\tpreset\t{purpose}")
    if folder is not None:
        for path, summary in find_models(folder):
            typer.echo(f"{path}\tmodel\t{summary}")


@app.command("show")
def show(model: Annotated[str, typer.Argument(help="Name of a preset, or a model folder.")]) -> None:
    """A preset's settings as TOML, or a trained model's card."""
    from genomix.settings.presets import known_presets

    if model in known_presets():
        typer.echo(known_presets()[model].read_text(encoding="utf-8").rstrip())
        return
    from genomix.bundle import describe_folder
    from genomix.card import model_card

    typer.echo(model_card(describe_folder(model)).rstrip())


@app.command("verify")
def verify(model: Annotated[str, typer.Argument(help="Model folder.")]) -> None:
    """Check that a model folder is whole, unchanged, and of a schema that this genomix reads."""
    from genomix.bundle import describe_folder, is_pretrained, load_bundle
    from genomix.train.body import read_body

    description = describe_folder(model)
    what = "pretrained, no classes" if is_pretrained(description) else f"{len(description['classes'])} classes"
    (read_body if is_pretrained(description) else load_bundle)(model)
    typer.echo(f"{model}: whole and unchanged, {what}, {description['weights']['parameters']:,} parameters")
