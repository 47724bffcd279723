"""`genomix demo`."""

from pathlib import Path
from typing import Annotated

import typer

from genomix.cli.talk import say

_NEXT = """\
{folder}/
  model/            the trained model: genomix models show {folder}/model
  evaluation/       metrics.json: the network and the baselines on strains that training never saw
  predictions.tsv   a row for each of their contigs
  report.html       all of it to read in a browser

Now your own files:
  genomix train CLASS1=one.fasta CLASS2=two.fasta -o my-run
  genomix predict my-run/model new.fasta -o predictions.tsv"""


def demo(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.", metavar="DIR")] = Path("genomix-demo"),
    force: Annotated[bool, typer.Option("--force", help="Replace the folder if it holds an earlier run.")] = False,
) -> None:
    """Train on bundled contigs of four bacterial species, evaluate on unseen strains, predict: a minute or two."""
    from genomix.demo import demo as run_demo

    finished = run_demo(output, force=force)
    say([*finished.summary(), *_NEXT.format(folder=output).splitlines()])
    typer.echo(str(output))
