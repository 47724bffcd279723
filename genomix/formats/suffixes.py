"""File names that look like sequence files. Only for choosing files in a folder: reading goes by content."""

from pathlib import Path

SEQUENCE_SUFFIXES = (".fa", ".fasta", ".fna", ".ffn", ".frn", ".fas", ".fsa", ".fq", ".fastq", ".gb", ".gbk", ".gbff", ".genbank", ".embl")
COMPRESSION_SUFFIXES = (".gz", ".bgz", ".xz", ".zst", ".bz2")


def without_suffixes(path: str | Path) -> str:
    """The file's name without the ending of its compression and of its format: `a/b.x.fna.gz` -> `b.x`."""
    name = Path(path).name
    for endings in (COMPRESSION_SUFFIXES, SEQUENCE_SUFFIXES):
        ending = Path(name).suffix
        if ending.lower() in endings:
            name = name[: -len(ending)]
    return name


def has_sequence_suffix(path: str | Path) -> bool:
    """Whether the name ends as a sequence file's does, in any case, with or without the ending of a compression."""
    name = Path(path).name.lower()
    for ending in COMPRESSION_SUFFIXES:
        name = name.removesuffix(ending)
    return name.endswith(SEQUENCE_SUFFIXES) and not name.startswith(".")
