"""Whether a result means what it seems to: shortcuts (`shortcuts`), order and length (`checks`), and what the terminal is told of them (`words`)."""

from genomix.audit.checks import run_checks
from genomix.audit.shortcuts import find_shortcuts
from genomix.audit.words import audit_lines

__all__ = ["audit_lines", "find_shortcuts", "run_checks"]
