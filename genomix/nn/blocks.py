"""One layer of the network: mix over positions, then work on each position; pre-norm and residual, or bare as the paper has it."""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from genomix.nn.layers import ChannelNorm, Perceptron, Pointwise
from genomix.nn.mixers import build_mixer
from genomix.nn.settings import BlockSettings


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
