"""Numbers in, numbers out: the classifier's blocks for inputs that are no tokens and answers that are no classes.

    signals -> linear map of each position, or stem -> blocks -> readout -> linear -> outputs

Trained with a squared loss it is a regressor. It is part of the library and has no command: what genomix reads on the command line has classes.
"""

from typing import Literal

from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from genomix.nn.blocks import Block, BlockSettings
from genomix.nn.embedding import RingConvolution
from genomix.nn.layers import ChannelNorm
from genomix.nn.pooling import MeanPooling


class RegressorSettings(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_length: int = Field(ge=1)
    """Positions of the longest record; it sets the number of mixing steps."""
    channels: int = Field(default=64, ge=1)
    """Channels of the blocks."""
    stem_kernel: int = Field(default=1, ge=1)
    """Positions that the first convolution sees, an odd number; 1 is a linear map of each position."""
    blocks: int = Field(default=1, ge=1)
    """How many blocks follow each other."""
    block: BlockSettings = BlockSettings()
    readout: Literal["mean", "first"] = "mean"
    """What the answer is read from: the mean over positions, widened; or the first position alone, which knows of the others what mixing brought it (then no record may be circular: a ring has no first position)."""
    pooled: int = Field(default=256, ge=1)
    """Channels of the mean readout."""

    @model_validator(mode="after")
    def _fits_together(self) -> "RegressorSettings":
        if self.stem_kernel % 2 == 0:
            raise ValueError(f"stem_kernel must be odd, got {self.stem_kernel}")
        self.block.mixer.check_channels(self.channels)
        return self


class Regressor(nn.Module):
    """`outputs` numbers a record, for records of `inputs` numbers a position, of any lengths up to `settings.max_length`."""

    def __init__(self, settings: RegressorSettings, inputs: int, outputs: int) -> None:
        super().__init__()
        self.settings = settings
        self.stem = RingConvolution(inputs, settings.channels, settings.stem_kernel)
        self.blocks = nn.ModuleList(Block(settings.channels, settings.max_length, settings.block) for _ in range(settings.blocks))
        widened = settings.readout == "mean"
        self.pooling = MeanPooling(settings.channels, settings.pooled, peak=False) if widened else ChannelNorm(settings.channels)
        self.head = nn.Linear(settings.pooled if widened else settings.channels, outputs)

    def forward(
        self,
        signals: Float[Tensor, "batch inputs position"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch outputs"]:
        """The outputs.

        Args:
            lengths: positions of each record, from 1; what `signals` holds beyond them is not looked at.

        Raises:
            ValueError: a record is circular, and the answer is read from the first position.
        """
        hidden = self.stem(signals, lengths, circular)
        for block in self.blocks:
            hidden = block(hidden, lengths, circular)
        if self.settings.readout == "mean":
            return self.head(self.pooling(hidden, lengths))
        if bool(circular.any()):
            raise ValueError("a circular record has no first position to read an answer from; use the mean readout")
        return self.head(self.pooling(hidden[:, :, :1])[:, :, 0])
