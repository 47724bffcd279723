"""The mixing operator `link_mix`, one sparse factor applied to the values; `factors`, which computes the link weights too; and `perceptron`.

`reference.py` is the definition of `link_mix`, `chain.py` states that of factors; the other files are only faster, and one test suite holds all of them to it.
`choice.py` says which runs where, so that no caller has to: a faster implementation for a device changes nothing outside this folder.
"""

from genomix.nn.ops.chain import factors, perceptron
from genomix.nn.ops.choice import described, using
from genomix.nn.ops.mixing import link_mix, link_mix_gradients

__all__ = ["described", "factors", "link_mix", "link_mix_gradients", "perceptron", "using"]
