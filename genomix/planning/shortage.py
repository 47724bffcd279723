"""What to say when one record alone does not fit."""

import torch

from genomix.errors import OutOfMemory, is_out_of_memory
from genomix.nn.classifier import ModelSettings
from genomix.planning.costs import measured_costs
from genomix.planning.memory import free_memory


def shortage(what: str, tokens: int, said: str, *, fits: int | None) -> OutOfMemory:
    """The error of a record that does not fit, with the length that would.

    Args:
        what: was being done.
        tokens: of the record.
        said: by the system.
        fits: tokens of the longest record that fits by the plan, which has just been wrong where it is longer than the record; None where there is no plan.
    """
    likely = min(tokens // 2, fits if fits is not None else tokens)
    hint = (
        f"about {likely:,} tokens would: train with --set model.max_tokens={likely}" if likely else "genomix plan says what a preset needs"
    )
    return OutOfMemory(f"{what}: a single record of {tokens:,} tokens does not fit in memory ({said})", hint=hint)


def longest_prediction(settings: ModelSettings, vocabulary: int, device: torch.device) -> int | None:
    """Tokens of the longest record that can be predicted with what is free; None where the machine does not tell, or not even a short record fits."""
    free = free_memory(device)
    try:
        return (
            None if free is None else measured_costs(settings, vocabulary, device, "fp32", ways=("prediction",)).longest(free, "prediction")
        )
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return None
        raise
