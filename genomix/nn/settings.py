"""The shape of the network and of its parts, checked without torch: a misspelt setting is told in a second.

Of the mixer one flat table serves all kinds; an option that the kind has no use for must stay at its default.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from genomix.nn.links import Protocol, factor_count

PHASES = 3
"""Reading frames of a strand."""

Kind = Literal["paramixer", "attention", "convolution", "rotation", "none"]

_OPTIONS: dict[Kind, frozenset[str]] = {
    "paramixer": frozenset({"protocol", "weights", "links", "heads", "hidden", "value_hidden", "start"}),
    "attention": frozenset({"heads"}),
    "convolution": frozenset({"links"}),
    "rotation": frozenset({"hidden"}),
    "none": frozenset(),
}
"""What each kind reads."""


class MixerSettings(BaseModel):
    """Shape of a mixer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "paramixer"
    """How positions exchange values: Paramixer, softmax attention, dilated convolutions (CDIL-CNN), rotations (ChordMixer), or not at all. An option that a kind has no use for must stay at its default."""
    protocol: Protocol = "cdil"
    """Which positions a factor of a Paramixer links."""
    weights: Literal["computed", "static"] = "computed"
    """Link weights of a Paramixer: computed at each position by a perceptron, or learned, one a link and head, and the same everywhere."""
    links: int = Field(default=5, ge=3)
    """Links a position of a Paramixer with CDIL, or taps of a dilated convolution (odd); CHORD's links follow from the length."""
    heads: int = Field(default=4, ge=1)
    """Runs of channels with link weights, or attention, of their own."""
    hidden: int = Field(default=16, ge=1)
    """Width of the hidden layer of each link perceptron, or of each perceptron between two rotations."""
    value_hidden: int = Field(default=0, ge=0)
    """Width of the hidden layer of a Paramixer's value perceptron; 0 is a plain linear layer."""
    start: Literal["average", "random"] = "average"
    """Link weights of a Paramixer at the start: near an average over the links at every scale, or as PyTorch initialises linear layers (the published way)."""

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> "MixerSettings":
        if self.links % 2 == 0:
            raise ValueError(f"links must be odd (a position, and as many on either side), got {self.links}")
        for name in sorted(self._without_effect()):
            default = type(self).model_fields[name].default
            if getattr(self, name) != default:
                raise ValueError(f"{name} = {getattr(self, name)} has no effect on this mixer ({self.summary}); leave it at {default}")
        return self

    @model_serializer(mode="wrap")
    def _only_what_has_effect(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name not in self._without_effect()}

    def _without_effect(self) -> set[str]:
        unread = type(self).model_fields.keys() - _OPTIONS[self.kind] - {"kind"}
        if self.kind == "paramixer" and self.protocol == "chord":
            unread |= {"links"}
        if self.kind == "paramixer" and self.weights == "static":
            unread |= {"hidden"}
        return unread

    @property
    def summary(self) -> str:
        """The kind in words, for reports and cards."""
        links = f"Paramixer, {self.protocol.upper()} links" + (", static" if self.weights == "static" else "")
        names = {"attention": "softmax attention", "convolution": "dilated convolution", "rotation": "rotation", "none": "none"}
        return names.get(self.kind, links)

    def steps(self, max_length: int) -> int:
        """How often records of `max_length` positions exchange values: factors, layers, or attention's once."""
        if self.kind == "rotation":
            return (max_length - 1).bit_length()
        if self.kind in {"paramixer", "convolution"}:
            return factor_count(self.protocol, max_length, self.links)
        return int(self.kind == "attention")

    def check_channels(self, channels: int) -> None:
        """Whether a block of so many channels can have this mixer.

        Raises:
            ValueError: the channels can't be shared out to the heads.
        """
        if "heads" in _OPTIONS[self.kind] and channels % self.heads:
            raise ValueError(f"channels ({channels}) must be a multiple of block.mixer.heads ({self.heads})")
        if self.kind == "attention" and channels // self.heads % 2:
            raise ValueError(f"attention turns pairs of channels: channels / block.mixer.heads must be even, got {channels} / {self.heads}")


class BlockSettings(BaseModel):
    """Shape of a block."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mixer: MixerSettings = MixerSettings()
    norm: bool = True
    """Normalise the channels before the mixer and before the feed-forward perceptron."""
    residual: bool = True
    """Add the block's input to the mixer's result."""
    gate: bool = True
    """Multiply the mixed values by SiLU of a linear map of the block's input, and map the product back."""
    feed_forward: int = Field(default=128, ge=0)
    """Hidden width of the perceptron on each position; 0 leaves it out."""
    value_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on what the mixer's values are computed from."""
    mixed_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the mixer's result."""


class ModelSettings(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int = Field(default=524_288, ge=1)
    """Tokens of the longest record that goes through whole; it sets the number of factors. Training lowers it to what its records need."""
    patch: int = Field(default=30, ge=1)
    """Tokens averaged to one position."""
    embedding: int = Field(default=64, ge=1)
    """Channels of a token's embedding."""
    channels: int = Field(default=64, ge=1)
    """Channels of the blocks."""
    stem_kernel: int = Field(default=5, ge=0)
    """Positions that the stem's convolution sees, an odd number; 0 leaves the stem out (then embedding and channels are equal)."""
    codon: int = Field(default=16, ge=0)
    """Channels of a codon's embedding in the branch that looks along the three reading frames; 0 leaves the branch out."""
    frame_channels: int = Field(default=32, ge=1)
    """Channels of that branch."""
    frame_layers: int = Field(default=4, ge=1)
    """Its dilated convolutions; n of them see 2^n - 1 positions on either side."""
    motifs: int = Field(default=0, ge=0)
    """Motifs that are looked for base by base; 0 leaves the branch out, as training does where records are long (`train.motif_length`)."""
    motif_width: int = Field(default=19, ge=1)
    """Bases of a motif, an odd number."""
    motif_strand: Literal["auto", "both", "forward"] = "auto"
    """`both` looks for a motif on either strand; auto is as the run's strand (`train.strand`), and `forward` where nothing says it."""
    position_table: bool = False
    """Learn an embedding of the absolute position, as published."""
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout after the embedding."""
    blocks: int = Field(default=1, ge=1)
    """How many blocks follow each other."""
    block: BlockSettings = BlockSettings()
    pooling: Literal["mean", "flatten"] = "mean"
    """Positions to one vector: a masked mean, or all of them side by side as published."""
    pooled: int = Field(default=256, ge=1)
    """Channels of the mean pooling."""
    peak: bool = True
    """Pool each channel's tilted mean, in which large values weigh more, beside its mean."""
    composition: bool = True
    """Start from what a logistic regression on k-mer frequencies says of a record; the network learns to correct it."""
    head_norm: bool = True
    """Standardise the pooled channels over the records seen (running averages)."""
    head_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout before the last layer."""

    @model_validator(mode="after")
    def _fits_together(self) -> "ModelSettings":
        if self.stem_kernel == 0 and self.embedding != self.channels:
            raise ValueError(f"without a stem, embedding ({self.embedding}) and channels ({self.channels}) must be equal")
        if self.stem_kernel and self.stem_kernel % 2 == 0:
            raise ValueError(f"stem_kernel must be odd, got {self.stem_kernel}")
        if self.motif_width % 2 == 0:
            raise ValueError(f"motif_width must be odd, got {self.motif_width}")
        if self.codon and self.patch % PHASES:
            raise ValueError(f"with reading frames (codon above 0) patch must be a multiple of {PHASES}, got {self.patch}")
        self.block.mixer.check_channels(self.channels)
        return self

    @property
    def fixed_length(self) -> bool:
        """Whether weights are tied to absolute positions, so that the network must not be resized."""
        return self.position_table or self.pooling == "flatten"
