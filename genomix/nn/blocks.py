"""One layer of the network: mix over positions, then work on each position; pre-norm and residual, or bare as the paper has it."""

from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from genomix.nn.layers import ChannelNorm, Perceptron, Pointwise
from genomix.nn.mixers import MixerSettings, build_mixer


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


class Block(nn.Module):
    """Norm, mixer, gate, residual; norm, feed-forward, residual. Each part can be left out by the settings."""

    def __init__(self, channels: int, max_length: int, settings: BlockSettings) -> None:
        super().__init__()
        self.residual = settings.residual
        self.norm = ChannelNorm(channels) if settings.norm else nn.Identity()
        self.value_dropout = nn.Dropout(settings.value_dropout)
        self.mixer = build_mixer(settings.mixer, channels, max_length)
        self.gate = nn.Sequential(Pointwise(channels, channels), nn.SiLU()) if settings.gate else None
        self.out = Pointwise(channels, channels) if settings.gate else nn.Identity()
        self.mixed_dropout = nn.Dropout(settings.mixed_dropout)
        self.feed_forward = self._feed_forward(channels, settings)

    def forward(
        self,
        hidden: Float[Tensor, "batch channel position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel position"]:
        source = self.norm(hidden)
        mixed = self.mixer(source, self.value_dropout(source), lengths, circular)
        if self.gate is not None:
            mixed = mixed * self.gate(source)
        mixed = self.mixed_dropout(self.out(mixed))
        hidden = hidden + mixed if self.residual else mixed
        return hidden if self.feed_forward is None else hidden + self.feed_forward(hidden)

    @staticmethod
    def _feed_forward(channels: int, settings: BlockSettings) -> nn.Module | None:
        if not settings.feed_forward:
            return None
        norm = ChannelNorm(channels) if settings.norm else nn.Identity()
        return nn.Sequential(norm, Perceptron(channels, settings.feed_forward, channels))
