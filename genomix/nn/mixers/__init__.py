"""Ways to let the positions of a record exchange values. A mixer takes (source, values, lengths, circular) and returns mixed values.

What it gives for a record depends neither on batch-mates nor on padding, a circular record
has no beginning for it, and a linear one has open ends; one test suite holds every kind to that.
"""

from torch import nn

from genomix.nn.mixers.attention import Attention
from genomix.nn.mixers.dilated import DilatedConvolution
from genomix.nn.mixers.identity import NoMixing
from genomix.nn.mixers.paramixer import Paramixer
from genomix.nn.mixers.rotation import Rotation
from genomix.nn.settings import Kind, MixerSettings

__all__ = ["Kind", "MixerSettings", "Paramixer", "build_mixer"]


def build_mixer(settings: MixerSettings, channels: int, max_length: int) -> nn.Module:
    """The mixer of that kind, for records of up to `max_length` positions.

    Raises:
        ValueError: the channels can't be shared out as the kind needs it.
    """
    match settings.kind:
        case "paramixer":
            return Paramixer(channels, max_length, settings)
        case "attention":
            return Attention(channels, settings)
        case "convolution":
            return DilatedConvolution(channels, max_length, settings)
        case "rotation":
            return Rotation(channels, max_length, settings)
        case "none":
            return NoMixing()
