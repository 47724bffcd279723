"""`genomix data`: data manifests, bundled and your own."""

from typing import Annotated

import typer

app = typer.Typer(help="List the bundled data sets, show a data manifest, check its files.", rich_markup_mode=None, no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a bundled manifest, or the path of one.", metavar="MANIFEST")]


@app.command("list")
def list_manifests() -> None:
    """The bundled data sets, with what each is for."""
    from genomix.data.manifest import bundled_manifests, load_manifest

    for path in bundled_manifests():
        typer.echo(f"{path.stem}\t{load_manifest(str(path)).title}")


@app.command("show")
def show(manifest: Name) -> None:
    """A manifest as it is written: sources, licence, labels, split."""
    from genomix.data.manifest import find_manifest, load_manifest

    load_manifest(manifest)
    typer.echo(find_manifest(manifest).read_text(encoding="utf-8").rstrip())


@app.command("verify")
def verify(manifest: Name) -> None:
    """Check that a manifest's files are there and unchanged; what has a web address is downloaded."""
    from genomix.data.manifest import load_manifest

    for path in load_manifest(manifest).verified_files():
        typer.echo(str(path))
