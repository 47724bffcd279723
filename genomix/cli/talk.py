"""What a command says beside its data: on stderr, and not under --quiet."""

import logging
from collections.abc import Iterable

_log = logging.getLogger(__name__)


WARNING = "warning: "
"""What a line begins with that is said under --quiet too."""


def say(lines: Iterable[str]) -> None:
    """Lines for the user; those that begin with `WARNING` are logged as such."""
    for line in lines:
        if line.startswith(WARNING):
            _log.warning("%s", line.removeprefix(WARNING))
        else:
            _log.info("%s", line)
