"""Tile sizes of the kernels, by shape. A table and no run-time tuning: tiles decide in which order numbers are added, and a run must repeat itself.

The figures follow from arithmetic (128-byte lines, registers of a thread) and from what the compiler reports for compute capabilities 8.0 and 9.0. They have
**not been tuned on a GPU**, because none was at hand; see docs/design/gpu-operator.md.
"""

from dataclasses import dataclass

import triton


@dataclass(frozen=True, slots=True)
class Tile:
    """What one program works on.

    Attributes:
        channels: a power of two.
        positions: a power of two.
        warps: of 32 threads each.
    """

    channels: int
    positions: int
    warps: int


MIXING = {1: Tile(1, 1024, 4), 2: Tile(2, 1024, 4), 4: Tile(4, 512, 4), 8: Tile(8, 256, 4), 16: Tile(16, 256, 8), 32: Tile(32, 128, 8)}
"""By the channels of a head, rounded up to a power of two; larger heads are cut into pieces of 32."""


def mixing_tile(size: int) -> Tile:
    """For heads of `size` channels."""
    return MIXING[min(triton.next_power_of_2(size), max(MIXING))]


FACTOR = {16: Tile(16, 64, 8), 32: Tile(16, 64, 8), 64: Tile(16, 32, 8), 128: Tile(32, 32, 8)}
"""By the units of the perceptron's hidden layer, rounded up to a power of two from 16, the smallest side that tensor cores multiply."""

LEARNT_SIDE = 64
LEARNT = 4096
"""Rows and numbers of one parameter's gradient that a program keeps. Above it the compiler asks for more shared memory than 99 KiB, a consumer GPU's."""


def factor_tile(hidden: int) -> Tile:
    """For a perceptron of so many units."""
    return FACTOR[matrix_side(hidden)]


def matrix_side(size: int) -> int:
    """The side of a matrix of that many rows on the tensor cores."""
    return max(16, triton.next_power_of_2(size))


def factor_fits(channels: int, hidden: int, rows: int, *, trains: bool) -> bool:
    """Whether the fused kernels can keep what they need close to the cores, for a perceptron channels -> hidden -> rows."""
    unit, side = matrix_side(hidden), max(matrix_side(channels), matrix_side(rows))
    return unit in FACTOR and not (trains and (side > LEARNT_SIDE or unit * side > LEARNT))
