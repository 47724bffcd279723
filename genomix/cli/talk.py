"""What a command says beside its data: on stderr, and not under --quiet."""

import logging
from collections.abc import Iterable

_log = logging.getLogger(__name__)


def say(lines: Iterable[str]) -> None:
    for line in lines:
        _log.info("%s", line)
