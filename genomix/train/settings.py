"""How a network is trained."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from genomix.data.augment import AugmentSettings

FEWEST_RECORDS = 16
"""Of an update whose size the training records decide."""


class TrainSettings(BaseModel):
    """Training, model choice and what it runs on.

    Attributes:
        HOW: names of the settings that say how an update is computed, not what it is; a run that is resumed may have others.
    """

    HOW: ClassVar[frozenset[str]] = frozenset({"token_budget", "recompute", "checkpoint_steps", "device", "devices", "strategy"})

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Draws the starting weights, the order of records and their changes."""
    strand: Literal["auto", "both", "forward"] = "auto"
    """`both` trains and predicts on either strand; `forward` is for transcripts and whatever changes meaning when reversed; auto is as the data set says."""
    steps: int = Field(default=0, ge=0)
    """Updates; 0 lets the number of training records decide (see `epochs`, `fewest_steps`, `most_steps`)."""
    epochs: int = Field(default=20, ge=1)
    """Times that each training record is seen, where `steps` is 0."""
    fewest_steps: int = Field(default=200, ge=1)
    """Updates that a small data set gets all the same, up to `most_steps`."""
    most_steps: int = Field(default=1_500, ge=1)
    """Updates that any data set stops at, where `steps` is 0."""
    most_tokens: int = Field(default=250_000_000, ge=1)
    """Tokens after which long records stop, once `fewest_steps` are done: minutes on two cores; worth raising on an accelerator."""
    token_budget: int = Field(default=262_144, ge=1)
    """Tokens of a padded batch, at most; where memory is short training takes fewer (`genomix plan` says how many)."""
    max_records: int = Field(default=0, ge=0)
    """Records of an update, at most. Several processes share them out: that makes an update faster, not larger. 0 lets the training records decide: sixteen, and
    where they are many and short as many more as all need to be seen `epochs` times, up to `update_tokens`."""
    update_tokens: int = Field(default=32_768, ge=1)
    """Tokens up to which an update of more than sixteen records grows, where `max_records` is 0."""
    motif_length: int = Field(default=2_000, ge=0)
    """Mean length of the training records, in bases, up to which `model.motifs` are looked for: what they cost grows with every base, and in long records some
    motif is found anywhere."""
    recompute: Literal["auto", "always", "never"] = "auto"
    """Compute each block's activations again in the backward pass rather than keep them: the same gradients, less memory, a third more time (more
    on a CPU with records of 1 Mb). auto does so for the updates that would not fit otherwise."""
    learning_rate: float = Field(default=3e-3, gt=0, allow_inf_nan=False)
    """AdamW's, after the warm-up; a cosine takes it to zero."""
    embedding_rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Learning rate of the embedding, as a fraction of the others'."""
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    """AdamW's, on matrices only."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of the steps in which the learning rate rises."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of a gradient."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of a label that is spread over all classes."""
    average: int = Field(default=100, ge=1)
    """Updates whose weights are averaged to the weights that are validated and kept; 1 keeps the last ones as they are."""
    balance: Literal["weights", "sampling", "none"] = "weights"
    """How small classes count like large ones: `weights` multiplies a record's loss by the inverse of its class's frequency, `sampling` draws the record
    that much more often; none leaves the frequencies as they are."""
    balance_limit: float = Field(default=100.0, ge=1)
    """A record of a small class counts at most so many times as much as one of the largest class."""
    embedding_start: Literal["spectral", "random"] = "spectral"
    """Start the k-mer embedding from the training records' k-mer frequencies (k up to 7, no labels used), or at random."""
    init: str | None = None
    """Model folder, pretrained or trained, whose body (embedding, stem, blocks) the network starts from; `embedding_start` is then not used."""
    validations: int = Field(default=20, ge=1)
    """How many times the validation split is read in a whole run, at most; half as often where reading it costs more than training. A run of fewer than
    `fewest_steps` has fewer of these sure, and three updates lie between two at least."""
    patience: int = Field(default=6, ge=1)
    """Validations in a row without a lower loss after which training stops. They count from when the training loss has fallen by a fifth (pretraining: by a
    hundredth) of the way from where it began to what it could be: before, a network may have learnt nothing yet."""
    checkpoint_steps: int = Field(default=100, ge=1)
    """Steps between two checkpoints."""
    checks: bool = True
    """Score shuffled and cropped test records too when the run ends; without it the model has no length certificate."""
    augment: AugmentSettings = AugmentSettings()
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes matrix products in bfloat16; weights stay fp32."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """What to train on; auto takes an accelerator where there is one."""
    devices: int = Field(default=1, ge=1)
    """Processes, one a device. torchrun and srun say how many there are: leave it out there."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """`fsdp` shares out the optimizer's state over the processes (FSDP2), for networks far larger than the presets; while an update is computed each process has
    all weights and gradients, as with `ddp`. The updates are the same; one process alone has nothing to share."""
