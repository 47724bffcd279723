"""What every benchmark here writes beside its figures, and how it gets the allocator that they are measured with; the rest is `genomix.bench`."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from genomix.bench.children import ALLOCATOR
from genomix.bench.figures import commit, machine, versions, write_figures

__all__ = ["arguments", "commit", "machine", "versions", "with_tuned_allocator", "write"]


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="file to write every figure to")
    return parser


def with_tuned_allocator() -> None:
    """Start this script again under `ALLOCATOR`, which must be set before the process begins."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)


def write(path: Path | None, figures: dict[str, Any]) -> None:
    if path is not None:
        write_figures(path, figures)
