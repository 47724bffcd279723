"""`genomix predict`."""

from pathlib import Path
from typing import Annotated

import typer

from genomix.cli.choices import Device, Form, Strand
from genomix.cli.files import Sequences, form_meant, named, read_too, require_free_and_apart, require_plain, require_sequences
from genomix.cli.talk import say

SplitFasta = Annotated[Path | None, typer.Option("--split-fasta", help="Folder for one FASTA file a predicted class.", metavar="DIR")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", help="Another setting, such as --set predict.overlap=0.5; may be repeated.")
]
Error = Annotated[
    float | None, typer.Option(help="Answer with the set of labels that misses the true one at most at this rate; adds the column labels.")
]
MaxNovelty = Annotated[
    float | None,
    typer.Option(
        help="A record further from the training records than this part of the validation records is unclassified; adds the column novelty."
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(help="Do the i-th of n shares of the records, in an array of jobs; who finishes last writes the output.", metavar="I/N"),
]
Format = Annotated[
    Form | None,
    typer.Option("--format", help="Columns between tabs or commas, or one JSON object a line [as the output's name ends; else tsv]."),
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file; its [predict] table is read.", metavar="TOML")]
Prior = Annotated[str | None, typer.Option(help="Class balance of the new records: A=0.9,B=0.1 or a tab-separated file.", metavar="PRIOR")]


def predict(
    model: Annotated[str, typer.Argument(help="Model folder, or the run folder that it is in.", metavar="MODEL")],
    sequences: Sequences,
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - is stdout.")] = "-",
    form: Format = None,
    threshold: Annotated[float | None, typer.Option(help="A record whose best class has a lower probability is unclassified.")] = None,
    error: Error = None,
    max_novelty: MaxNovelty = None,
    prior: Prior = None,
    max_ambiguous: Annotated[float | None, typer.Option(help="Largest fraction of letters other than A, C, G, T, U.")] = None,
    strand: Annotated[Strand | None, typer.Option(help="Which strands to read; default: as the model was trained.")] = None,
    split_fasta: SplitFasta = None,
    config: Config = None,
    assignments: Assignments = None,
    device: Annotated[Device, typer.Option(help="What to run on; auto takes an accelerator where there is one.")] = Device.auto,
    shard: Shard = None,
    force: Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")] = False,
) -> None:
    """Classify new sequences: one row for each record, in input order."""
    from genomix.bundle import load_bundle
    from genomix.certificate import LengthWatch
    from genomix.confidence import read_prior
    from genomix.predict import PredictTables, new_records
    from genomix.predict import predict as predict_records
    from genomix.report.predictions import counted, write_predictions
    from genomix.settings import resolve
    from genomix.shards import Question, own_share, predict_shares

    options = {
        "predict.threshold": threshold,
        "predict.error": error,
        "predict.max_novelty": max_novelty,
        "predict.max_ambiguous": max_ambiguous,
    }
    settings = resolve(PredictTables, config=config, assignments=assignments or (), options=options).predict
    output = named(output)
    share = own_share(shard, output, sequences, split_fasta=split_fasta)
    require_sequences(model, sequences)
    require_plain(Path(output))
    _require_beside(Path(output), split_fasta)
    for place in ([] if output == "-" else [Path(output)]) + ([split_fasta] if split_fasta else []):
        # A share looks itself whether the output is its own.
        require_free_and_apart(place, model, [*sequences, *read_too(prior, config)], force=force or share is not None)
    form = form or form_meant(output, Form)
    bundle = load_bundle(model, device=device.value)
    balance = read_prior(prior, bundle.classes) if prior is not None else None
    if share is not None:
        question = Question(model, sequences, Path(output), settings, form.value, strand.value if strand else None, balance)
        say(predict_shares(bundle, question, share, force=force).lines(share, output))
        return
    predictions = predict_records(bundle, new_records(bundle, sequences), settings, strand=strand.value if strand else None, prior=balance)
    lengths = LengthWatch(bundle.provenance.get("evaluation"))
    counts = write_predictions(
        lengths.watch(predictions), bundle.classes, output, form=form.value, split_fasta=split_fasta, extras=settings.columns, force=force
    )
    lengths.warn()
    say([counted(counts) + ("" if output == "-" else f"; written to {output}")])


def _require_beside(output: Path, folder: Path | None) -> None:
    """Raises UsageError where the output is to lie in a folder that appears whole, in place of what is there."""
    from genomix.errors import UsageError

    if folder and str(output) != "-" and folder.resolve() in (output.resolve(), *output.resolve().parents):
        raise UsageError(f"{output} lies in the folder of --split-fasta, which is replaced as a whole", hint="-o names a file elsewhere")
