"""What options take: one of some words, which a test keeps equal to those of the settings; or an amount."""

import math
from enum import StrEnum

from genomix.errors import UsageError


class Strand(StrEnum):
    both = "both"
    forward = "forward"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    fp32 = "fp32"
    bf16 = "bf16"


class Form(StrEnum):
    tsv = "tsv"
    csv = "csv"
    jsonl = "jsonl"


class Track(StrEnum):
    tsv = "tsv"
    csv = "csv"
    bedgraph = "bedgraph"


class Unknown(StrEnum):
    error = "error"
    drop = "drop"


class Split(StrEnum):
    train = "train"
    validation = "validation"
    test = "test"


def bytes_of(memory: float | None) -> int | None:
    """`--memory`, which is in GiB, in bytes. Raises UsageError for what is no amount."""
    if memory is None:
        return None
    if not math.isfinite(memory):
        raise UsageError(f"--memory {memory}: expected a number of GiB")
    return int(memory * 2**30)
