"""What `genomix doctor` looks at: versions, devices, the folders that the program needs, and other programs of the same name."""

import os
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import torch
from packaging.requirements import Requirement

from genomix.nn import ops
from genomix.resources import resource_folder

DISTRIBUTION = "genomix-paramixer"
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Device:
    """Something that a network can run on.

    Attributes:
        memory: in bytes; None where the system doesn't tell.
        factors: what computes a Paramixer's factors there.
    """

    name: str
    description: str
    memory: int | None
    factors: str


@dataclass(slots=True)
class Health:
    """What was found. `problems` is empty where all is well."""

    versions: dict[str, str] = field(default_factory=dict)
    cores: int = 0
    threads: int = 0
    devices: list[Device] = field(default_factory=list)
    presets: list[str] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    temporary_folder: str = ""
    problems: list[str] = field(default_factory=list)


def examine() -> Health:
    """Look at everything; what is wrong is collected, never raised."""
    health = Health(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, threads=torch.get_num_threads()
    )
    _check_versions(health)
    health.devices = _devices()
    health.presets = _resources("models", health)
    health.manifests = _resources("data_manifests", health)
    _check_temporary_folder(health)
    health.problems += other_distributions() + other_commands(os.environ.get("PATH", "")) + other_modules(sys.path)
    return health


def _check_versions(health: Health) -> None:
    health.versions["python"] = sys.version.split()[0]
    try:
        own = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        health.problems.append(f"{DISTRIBUTION} is not installed; the package runs from {_PACKAGE.parent}, its dependencies are unchecked")
        health.versions["torch"] = torch.__version__
        return
    health.versions[DISTRIBUTION] = own.version
    for requirement in map(Requirement, own.requires or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            _check_requirement(requirement, health)


def _check_requirement(requirement: Requirement, health: Health) -> None:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        health.problems.append(f"{requirement.name} is not installed")
        return
    health.versions[requirement.name] = found
    if not requirement.specifier.contains(found, prereleases=True):
        health.problems.append(f"{requirement.name} {found} is installed, {requirement.specifier} is needed")


def _devices() -> list[Device]:
    devices = [Device("cpu", sysconfig.get_platform(), _main_memory(), ops.described("cpu"))]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(Device(f"cuda:{index}", properties.name, properties.total_memory, ops.described("cuda")))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU", None, ops.described("mps")))
    return devices


def _main_memory() -> int | None:
    names = getattr(os, "sysconf_names", {})
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in names else None


def _resources(name: str, health: Health) -> list[str]:
    folder = resource_folder(name)
    found = sorted(path.stem for path in folder.glob("*.toml"))
    if not found:
        health.problems.append(f"nothing found in {folder}; the installation is incomplete")
    return found


def _check_temporary_folder(health: Health) -> None:
    try:
        health.temporary_folder = tempfile.gettempdir()
        with tempfile.TemporaryFile() as file:
            file.write(b"genomix")
    except OSError as error:
        health.problems.append(f"no folder for temporary files: {error}; set TMPDIR to one that can be written")


def other_distributions() -> list[str]:
    """An installed distribution that is called `genomix` too, which is another program."""
    try:
        found = version("genomix")
    except PackageNotFoundError:
        return []
    return [
        f"the unrelated distribution genomix {found} is installed and shares our package's name: pip uninstall genomix {DISTRIBUTION}, then reinstall ours"
    ]


def other_commands(path: str) -> list[str]:
    """A command `genomix` that comes first on the given PATH and isn't this environment's."""
    first = shutil.which("genomix", path=path)
    own = Path(sysconfig.get_path("scripts"), "genomix")
    if first is None or not own.exists() or Path(first).resolve() == own.resolve():
        return []
    return [f"another command comes first on PATH: {first}; this one is {own}"]


def other_modules(search_path: list[str]) -> list[str]:
    """Modules `genomix` on the given search path that aren't this package."""
    places = [place for entry in search_path for place in (Path(entry, "genomix", "__init__.py"), Path(entry, "genomix.py"))]
    others = {place.resolve() for place in places if place.is_file()} - {(_PACKAGE / "__init__.py").resolve()}
    return [f"another module genomix lies on Python's path: {other}" for other in sorted(others)]
