"""What `predict` and `explain` refuse before a model is read."""

from pathlib import Path


def require_sequences(model: str, sequences: list[str]) -> None:
    """Raises InputMissing where an input can't be read, or is a dataset folder."""
    from genomix.data.store import INFO_FILE
    from genomix.errors import InputMissing
    from genomix.formats import require_readable

    for name in sequences:
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
