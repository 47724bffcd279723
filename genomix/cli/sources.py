"""The options that say which data there are, how they are labelled, split and cleaned: one set for `preprocess` and `train`.

A command takes them as parameters of the names in `_SETTINGS`, and `data_options` gives each its place in the settings.
"""

from collections.abc import Mapping
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


_SOURCES = "NAME=file pairs, folders with one sub-folder a class, or plain files labelled by an option below. FASTA, FASTQ, GenBank or EMBL, compressed or not; - is stdin."

Sources = Annotated[list[str] | None, typer.Argument(help=_SOURCES, metavar="SOURCES...")]

TrainSources = Annotated[
    list[str] | None, typer.Argument(help=f"A dataset folder, alone, as preprocess makes it; or {_SOURCES}", metavar="SOURCES...")
]

Labels = Annotated[
    str | None, typer.Option("--labels", metavar="TSV", help="Label table: columns id and label, and maybe group and split.")
]
IdColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The table's column of record ids, if not id.")]
LabelColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The table's column of labels, if not label.")]
GroupColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="The table's column of what stays together, if not group; means --split group.")
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
    Conflicts | None, typer.Option("--conflicts", help="One sequence with two labels: stop, or leave all its records out.")
]
MinLength = Annotated[int | None, typer.Option(help="Leave out shorter records [20].")]
MaxAmbiguous = Annotated[
    float | None, typer.Option(help="Leave out records with a larger fraction of letters other than A, C, G, T, U [0.5].")
]
MinClass = Annotated[int | None, typer.Option(help="Leave out classes of fewer records, once duplicates are gone [1].")]
Circular = Annotated[bool, typer.Option("--circular", help="The molecules are circular: plasmids, mitochondria.")]
WhichStrand = Annotated[
    Strand | None, typer.Option("--strand", help="forward, if a record's other strand means something else, as in transcripts [both].")
]


_SETTINGS = {
    "labels": "labels.table",
    "id_column": "labels.id_column",
    "label_column": "labels.label_column",
    "group_column": "labels.group_column",
    "split_column": "labels.split_column",
    "allow_missing": "labels.allow_missing",
    "label_regex": "labels.regex",
    "intervals": "labels.intervals",
    "genome": "labels.genome",
    "manifest": "labels.manifest",
    "split": "split.method",
    "seed": "split.seed",
    "similarity": "split.similarity",
    "fractions": "split.fractions",
    "conflicts": "cleaning.conflicts",
    "min_length": "cleaning.min_length",
    "max_ambiguous": "cleaning.max_ambiguous",
    "min_class": "cleaning.min_class",
    "circular": "circular",
    "strand": "strand",
}
"""A command's parameter -> the setting it sets, in the table `data`."""


def data_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Full name of a setting -> what the command line says, for `genomix.settings.resolve`.

    Args:
        parameters: the parameters of a command, as `locals()` gives them in its first line; others than those above are passed over, and what a command does not have is not said.
    """
    return {f"data.{setting}": _said(parameters.get(name)) for name, setting in _SETTINGS.items()}


def _said(value: Any) -> Any:
    """The value of an option; None for one that wasn't given, also for a flag that is off."""
    return value.value if isinstance(value, StrEnum) else None if value is False else value
