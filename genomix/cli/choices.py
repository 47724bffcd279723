"""Words that an option takes one of. The settings hold the same words; a test keeps the two equal."""

from enum import StrEnum


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
    jsonl = "jsonl"


class Split(StrEnum):
    train = "train"
    validation = "validation"
    test = "test"
