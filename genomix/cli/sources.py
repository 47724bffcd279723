"""The options that say which data there are, how they are labelled, split and cleaned: one set for `preprocess` and `train`.

A command takes those it wants as parameters and hands them to `data_options`, which gives each its place in the settings. None is an option that wasn't
given.
"""

from enum import StrEnum
from typing import Annotated, Any

import typer

from genomix.cli.choices import Strand


class SplitMethod(StrEnum):
    cluster = "cluster"
    stratified = "stratified"
    group = "group"
    sequence = "sequence"
    column = "column"


class Conflicts(StrEnum):
    error = "error"
    drop = "drop"


Sources = Annotated[
    list[str] | None,
    typer.Argument(
        help="NAME=file pairs, folders with one sub-folder a class, or plain files labelled by an option below. FASTA, FASTQ, GenBank or EMBL, "
        "compressed or not; - is stdin.",
        metavar="SOURCES...",
    ),
]

Labels = Annotated[
    str | None, typer.Option("--labels", metavar="TSV", help="Label table: columns id and label, and maybe group and split.")
]
IdColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The table's column of record ids, if not id.")]
LabelColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The table's column of labels, if not label.")]
GroupColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="The table's column of what --split group keeps together, if not group.")
]
SplitColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The table's column of splits, if not split; means --split column.")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Go on if the table has ids that no sequence has.")]
LabelRegex = Annotated[
    str | None,
    typer.Option(metavar="REGEX", help="Pattern searched in the whole header; its first group, or the one named label, is the label."),
]
Intervals = Annotated[str | None, typer.Option(metavar="BED", help="Regions of --genome as records, labelled by the name column.")]
Genome = Annotated[str | None, typer.Option(metavar="FASTA", help="What --intervals cuts from.")]
ManifestName = Annotated[
    str | None, typer.Option("--manifest", metavar="TOML", help="Data manifest: a path, or the name of a bundled one.")
]

Split = Annotated[
    SplitMethod | None,
    typer.Option(
        help="What never is on two sides: near-duplicates (cluster, the default), nothing (stratified), a group, a source sequence; "
        "or as a column of the label table says."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Draws the split.")]
Similarity = Annotated[float | None, typer.Option(help="Near-duplicates are at least this similar [0.95].")]
Fractions = Annotated[
    tuple[float, float, float] | None, typer.Option(metavar="TRAIN VALIDATION TEST", help="Parts of the split [0.7 0.15 0.15].")
]

OnConflict = Annotated[
    Conflicts | None, typer.Option("--conflicts", help="One sequence, or one id, with two labels: stop, or leave all its records out.")
]
MinLength = Annotated[int | None, typer.Option(help="Leave out shorter records [20].")]
MaxAmbiguous = Annotated[
    float | None, typer.Option(help="Leave out records with a larger fraction of letters other than A, C, G, T, U [0.5].")
]
Circular = Annotated[bool, typer.Option("--circular", help="The molecules are circular: plasmids, mitochondria.")]
WhichStrand = Annotated[
    Strand | None, typer.Option("--strand", help="forward, if a record's other strand means something else, as in transcripts [both].")
]


def data_options(
    *,
    labels: str | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
    allow_missing: bool = False,
    label_regex: str | None = None,
    intervals: str | None = None,
    genome: str | None = None,
    manifest: str | None = None,
    split: SplitMethod | None = None,
    seed: int | None = None,
    similarity: float | None = None,
    fractions: tuple[float, float, float] | None = None,
    conflicts: Conflicts | None = None,
    min_length: int | None = None,
    max_ambiguous: float | None = None,
    circular: bool = False,
    strand: Strand | None = None,
) -> dict[str, Any]:
    """Full name of a setting -> what its option says, for `genomix.settings.resolve`."""
    return {
        "data.labels.table": labels,
        "data.labels.id_column": id_column,
        "data.labels.label_column": label_column,
        "data.labels.group_column": group_column,
        "data.labels.split_column": split_column,
        "data.labels.allow_missing": allow_missing or None,
        "data.labels.regex": label_regex,
        "data.labels.intervals": intervals,
        "data.labels.genome": genome,
        "data.labels.manifest": manifest,
        "data.split.method": split and split.value,
        "data.split.seed": seed,
        "data.split.similarity": similarity,
        "data.split.fractions": fractions,
        "data.cleaning.conflicts": conflicts and conflicts.value,
        "data.cleaning.min_length": min_length,
        "data.cleaning.max_ambiguous": max_ambiguous,
        "data.circular": circular or None,
        "data.strand": strand and strand.value,
    }
