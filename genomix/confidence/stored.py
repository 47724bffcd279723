"""What training leaves behind for `predict`, as the `confidence` of model.json."""

from pydantic import BaseModel, ConfigDict, Field


class Confidence(BaseModel):
    """What is known of a model's probabilities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    balance: tuple[float, ...]
    """The class balance that the loss saw, sum 1: records of each class times their weight."""
    records: int = Field(default=0, ge=0)
    """Validation records that all below was learned from; 0 where there was no validation split, and then nothing is below."""
    temperature: float | None = Field(default=None, gt=0)
    """Of the probabilities; None leaves them as the network gives them."""
    scores: tuple[tuple[float, ...], ...] = ()
    """For each class the probabilities that its own validation records have of it, at that temperature, from the lowest."""
    distances: tuple[float, ...] = ()
    """The validation records' distances from the training records, from the lowest; see `Novelty`."""
