"""The mixing operator `link_mix`, one sparse factor applied to the values; `factor`, which computes the factor's link weights too; and `perceptron`.

`reference.py` is the definition of `link_mix`, `factors.py` states that of a factor; the other files are only faster, and one test suite holds all of them to it.
`choice.py` says which runs where, so that no caller has to: a faster implementation for a device changes nothing outside this folder.
"""

from genomix.nn.ops.choice import described, using
from genomix.nn.ops.factors import factor, perceptron
from genomix.nn.ops.mixing import link_mix, link_mix_gradients

__all__ = ["described", "factor", "link_mix", "link_mix_gradients", "perceptron", "using"]
