"""The files that `predict` and `explain` name, and what is refused of them before a model is read."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, TypeVar

import typer

Sequences = Annotated[
    list[str], typer.Argument(help="FASTA, FASTQ, GenBank or EMBL files, compressed or not; - is stdin.", metavar="FILES")
]

FormT = TypeVar("FormT", bound=StrEnum)

_OTHER_FORMS = {"json", "jsonl", "ndjson", "bed", "xlsx", "xls", "ods", "parquet", "feather", "h5", "html", "xml"}
_STDOUT = {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


def named(output: str) -> str:
    """An output as the user names it; `-` for all names of stdout: where a job's log is behind it, a file would be put in the log's place."""
    return "-" if output in _STDOUT else output


def form_meant(output: str, forms: type[FormT], others: Mapping[str, FormT] = MappingProxyType({})) -> FormT:
    """By the ending of the file's name: a program that opens `.csv` takes commas for granted.

    Args:
        forms: named as the endings are; `tsv`, which is among them, is meant by any other ending.
        others: endings that are no form's name, and what they mean.

    Raises:
        UsageError: the ending is that of a form that is not written.
    """
    from genomix.errors import UsageError

    ending = Path(output).suffix.lower().removeprefix(".")
    if ending in _OTHER_FORMS - {*forms}:
        raise UsageError(
            f"{output}: results are written as {', '.join(forms)}, not as .{ending}",
            hint=f"another ending, such as {Path(output).with_suffix('.tsv')}, or --format says which",
        )
    return others[ending] if ending in others else forms(ending if ending in {*forms} else "tsv")


def read_too(*files: str | Path | None) -> list[str]:
    """Of the files that options name, those that are given."""
    return [str(file) for file in files if file is not None]


def require_free_and_apart(output: Path, model: str, others: Iterable[str], *, force: bool) -> None:
    """Raises OutputError for what exists, or is read: the model's files are, too."""
    from genomix.bundle import model_folder
    from genomix.outputs import require_apart, require_free

    require_apart(output, [model, *model_folder(model).glob("*"), *others])
    require_free(output, force=force)


def require_sequences(model: str, sequences: list[str]) -> None:
    """Raises InputMissing where an input can't be read, or is a model or dataset folder; UsageError where it is given twice."""
    from genomix.bundle import DESCRIPTION_FILE, model_folder
    from genomix.data.store import INFO_FILE
    from genomix.errors import InputMissing, UsageError
    from genomix.formats import require_readable

    for place, name in enumerate(sequences):
        if any(Path(name) == Path(other) for other in sequences[:place]):
            raise UsageError(f"{name} is given twice")
        if (model_folder(name) / DESCRIPTION_FILE).is_file():
            raise InputMissing("a model, expected sequence files", where=name, hint="the model comes first, then the files")
        if (Path(name) / INFO_FILE).is_file():
            raise InputMissing(
                "a dataset folder, expected sequence files",
                where=name,
                hint=f"genomix evaluate {model} {name} -o DIR predicts the records of its test split",
            )
    require_readable(sequences)


def require_plain(output: Path) -> None:
    """Raises what says that no such file is written."""
    from genomix.errors import UsageError
    from genomix.formats import COMPRESSION_SUFFIXES
    from genomix.outputs import require_file

    require_file(output)  # standard output, "-", is neither
    if output.suffix.lower() in COMPRESSION_SUFFIXES:
        raise UsageError(f"{output}: results are written as plain text", hint=f"-o {output.with_suffix('')}, or -o - | gzip > {output}")
