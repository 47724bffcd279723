"""The network. It knows tensors only: no file, no DNA.

Shapes, everywhere in this room: activations are channel-first, `[batch, channel, position]`; a batch holds records of different lengths, padded on the
right, with `lengths [batch]` in positions and `circular [batch]` saying whose two ends are joined. Nothing beyond a record's length reaches its result.
"""
