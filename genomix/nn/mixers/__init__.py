"""Ways to let the positions of a record exchange values. A mixer takes (source, values, lengths, circular) and returns mixed values."""

from genomix.nn.mixers.paramixer import MixerSettings, Paramixer

__all__ = ["MixerSettings", "Paramixer"]
