"""Which positions a factor links: the two protocols of Paramixer (Yu et al., CVPR 2022, arXiv 2204.10670, section 3).

    CHORD   factors ceil(log2 N), each with offsets 0, 1, 2, 4, ... < N, one direction     N log2 N (log2 N + 1) non-zeros in all, so O(N log^2 N)
    CDIL    factor m has offsets 0, ±2^m, ±2·2^m, ..., ±h·2^m (2h + 1 links); factors      (2h + 1) N log2 N, so O(N log N)
            until a position is reached from every other: h (2^M - 1) >= N - 1

Offsets never depend on the weights, so one network serves every length up to the one it was built for: a record of length n passes through the first
`factor_count(n)` factors, and a link whose offset is n or more does not exist for it.
"""

from typing import Literal

Protocol = Literal["chord", "cdil"]


def factor_count(protocol: Protocol, length: int, links: int) -> int:
    """How many factors mix a record of `length` positions whole.

    Args:
        links: links a position of CDIL, an odd number; CHORD's follow from the length.
    """
    if protocol == "chord":
        return (length - 1).bit_length()
    reach = (links - 1) // 2
    factors = 0
    while reach * (2**factors - 1) < length - 1:
        factors += 1
    return factors


def link_offsets(protocol: Protocol, max_length: int, links: int) -> tuple[tuple[int, ...], ...]:
    """The offsets of each factor, for records of up to `max_length` positions.

    Raises:
        ValueError: CDIL with an even number of links, or fewer than 3.
    """
    factors = factor_count(protocol, max_length, _checked(protocol, links))
    if protocol == "chord":
        return ((0, *(2**power for power in range(factors))),) * factors
    half = range(1, (links - 1) // 2 + 1)
    return tuple((0, *(step * 2**m for step in half), *(-step * 2**m for step in half)) for m in range(factors))


def factor_reach(protocol: Protocol, factors: int, links: int) -> tuple[int, ...]:
    """For each factor the longest record that does without it: a record of length n uses factor m when n > reach[m]."""
    if protocol == "chord":
        return tuple(2**m for m in range(factors))
    return tuple((links - 1) // 2 * (2**m - 1) + 1 for m in range(factors))


def _checked(protocol: Protocol, links: int) -> int:
    if protocol == "cdil" and (links < 3 or links % 2 == 0):
        raise ValueError(f"CDIL needs an odd number of links from 3, got {links}")
    return links
