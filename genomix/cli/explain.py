"""`genomix explain`."""

from pathlib import Path
from typing import Annotated

import typer

from genomix.cli.choices import Device, Strand, Track
from genomix.cli.files import Sequences, form_meant, named, read_too, require_free_and_apart, require_plain, require_sequences
from genomix.cli.talk import WARNING, say

Format = Annotated[
    Track | None,
    typer.Option("--format", help="Columns between tabs or commas, or a track for genome browsers [as the output's name ends; else tsv]."),
]
Stretch = Annotated[
    int | None,
    typer.Option(
        help="Bases hidden at a time, at most: the stretches of a record are alike long [a 64th of the record, or 100 where that is less].",
        metavar="BASES",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        help="The class that is asked about, all its levels where labels have ranks [each record's most probable one].", metavar="CLASS"
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; its [explain] and [predict] tables are read.", metavar="TOML")
]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", help="Another setting, such as --set predict.token_budget=65536; may be repeated.")
]


def explain(
    model: Annotated[str, typer.Argument(help="Model folder, or the run folder that it is in.", metavar="MODEL")],
    sequences: Sequences,
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - is stdout.")] = "-",
    form: Format = None,
    stretch: Stretch = None,
    label: Label = None,
    strand: Annotated[Strand | None, typer.Option(help="Which strands to read; default: as the model was trained.")] = None,
    config: Config = None,
    assignments: Assignments = None,
    device: Annotated[Device, typer.Option(help="What to run on; auto takes an accelerator where there is one.")] = Device.auto,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Say which parts of a sequence its class rests on: what hiding each stretch of it costs.

    Takes as long as predicting each record once for every stretch.
    """
    from genomix.bundle import load_bundle
    from genomix.explain import ExplainTables
    from genomix.explain import explain as explain_records
    from genomix.predict import new_records
    from genomix.processes import require_alone
    from genomix.report.explanations import write_explanations
    from genomix.report.predictions import counted
    from genomix.settings import resolve

    settings = resolve(ExplainTables, config=config, assignments=assignments or (), options={"explain.stretch": stretch})
    if settings.unused:
        say(
            [f"{WARNING}{' and '.join(settings.unused)} has no effect here: explain asks about the most probable class, or that of --label"]
        )
    require_alone("explain", "start it without, and share out the files")
    output = named(output)
    require_sequences(model, sequences)
    require_plain(Path(output))
    if output != "-":
        require_free_and_apart(Path(output), model, [*sequences, *read_too(config)], force=force)
    form = form or form_meant(output, Track, {"bg": Track.bedgraph, "bdg": Track.bedgraph})
    bundle = load_bundle(model, device=device.value)
    explanations = explain_records(bundle, new_records(bundle, sequences), settings, label=label, strand=strand.value if strand else None)
    counts = write_explanations(explanations, output, form=form.value)
    say([counted(counts) + ("" if output == "-" else f"; written to {output}")])
