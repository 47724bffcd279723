"""The file of figures: everything that was measured, with the machine, the versions and the commit it was measured on."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from genomix.errors import DataError
from genomix.outputs import atomic_file

_CHECKOUT = Path(__file__).parent.parent.parent
_SAME = ("machine", "versions", "commit")
"""What two files must share for their figures to stand in one table."""


def surroundings() -> dict[str, Any]:
    """When, and on what, this process measures."""
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
    }


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """The figures and their surroundings as JSON.

    Raises:
        OutputError: it can't be written.
    """
    with atomic_file(path) as file:
        file.write(json.dumps(surroundings() | figures, indent=2) + "\n")


def read_figures(path: Path, **where: str) -> dict[str, Any]:
    """The figures in a file that this machine wrote at this commit, to add others to; empty where there is no such file.

    Args:
        where: what else they must have been measured with, such as device="cpu".

    Raises:
        DataError: it is another machine's, another commit's, measured with something else, or no file of figures.
    """
    if not path.exists():
        return {}
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        here = {name: value for name, value in surroundings().items() if name in _SAME} | where
        other = [name for name, value in here.items() if figures[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("not a file that genomix bench wrote", where=str(path), hint="--json names another") from error
    if other:
        raise DataError(f"measured with another {' and '.join(other)}", where=str(path), hint="measure all of it again, without --add")
    return figures


def machine() -> dict[str, Any]:
    """Processor, cores and system, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {"processor": names[0] if names else platform.machine(), "cores": os.cpu_count(), "system": platform.system()}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("genomix-paramixer", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # the package may run from a checkout
            found[name] = "not installed"
    return found


def commit() -> str:
    """Of the checkout that the package runs from; an installed package has none."""
    if not (_CHECKOUT / ".git").exists():
        return "unknown"
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(  # noqa: S603 - constant words
            command, capture_output=True, text=True, check=False, cwd=_CHECKOUT
        )
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def are_figures(path: Path) -> bool:
    """Whether genomix bench wrote this file."""
    try:
        with path.open("rb") as file:
            if file.read(1) != b"{":  # genomes are long to read
                return False
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return {*_SAME, "comparisons"} <= found.keys()
