"""What files say of their molecules, circular or linear, against what they are taken for: one warning where the two differ."""

import logging
from collections.abc import Iterator

from genomix.data.labels import LabelledRecord

_log = logging.getLogger(__name__)


def with_topology_compared(items: Iterator[LabelledRecord], *, circular: bool) -> Iterator[LabelledRecord]:
    """The same records.

    Args:
        circular: what all of them are taken for.
    """
    records = others = 0
    for item in items:
        records += 1
        others += item.record.circular not in (None, circular)
        yield item
    if others:
        said, taken = (
            ("linear", "circular: is --circular right?") if circular else ("circular", "linear: --circular takes all records as circular")
        )
        _log.warning(
            "%s of %s records are %s, as their file says (LOCUS or ID), and are taken as %s", f"{others:,}", f"{records:,}", said, taken
        )
