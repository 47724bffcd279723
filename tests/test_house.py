"""The house keeps its own rules: imports point one way, files stay short, the wheel holds what it should, nothing names a machine."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from genomix.cli.main import COMMANDS, app

CHECKOUT = Path(__file__).parent.parent
PACKAGE = CHECKOUT / "genomix"
MODULES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))

LONGEST_MODULE = 300
LONGEST_FUNCTION = 60


def kept_files() -> list[Path]:
    """What a commit of the working tree would hold."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the project isn't known")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return [path for name in listed.stdout.split("\0") if name and (path := CHECKOUT / name).is_file()]


def test_imports_point_one_way():
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    done = subprocess.run([command, "--no-cache", "--no-logo"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_preprocessing_runs_without_torch():
    names = [".".join(path.relative_to(CHECKOUT).with_suffix("").parts) for path in MODULES]
    wanted = [
        name.removesuffix(".__init__")
        for name in names
        if re.match(r"genomix\.(formats|tokenizers|data|settings|beginning|nn\.settings)\b", name)
    ]
    wanted = [name for name in wanted if name != "genomix.data.batches"]
    code = f"import importlib, sys\nfor name in {wanted}: importlib.import_module(name)\nassert 'torch' not in sys.modules"
    assert wanted
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_are_short():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_functions_are_short():
    long = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_kernel(node):
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long[f"{path.relative_to(CHECKOUT)}:{node.name}"] = length
    assert long == {}


def _is_kernel(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("triton.jit" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_every_file_of_the_command_line_is_a_command():
    no_commands = {"__init__", "main", "sources", "files", "choices", "talk", "training"}
    files = {path.stem for path in (PACKAGE / "cli").glob("*.py")} - no_commands
    assert files == set(typer.main.get_command(app).commands)
    assert files <= set(COMMANDS)


def test_what_is_imported_is_declared():
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    installed = packages_distributions()
    undeclared = {}
    for path in MODULES:
        for name in _imported(path) - sys.stdlib_module_names - {"genomix"}:
            owners = {canonicalize_name(owner) for owner in installed.get(name, [name])}
            if not owners & declared and name != "triton":  # triton comes with the torch that can use it
                undeclared[name] = str(path.relative_to(CHECKOUT))
    assert undeclared == {}


def _imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}}


def test_every_dependency_is_pinned_and_explained():
    optional = [line for group in PROJECT["project"]["optional-dependencies"].values() for line in group]
    direct = [Requirement(line) for line in [*PROJECT["project"]["dependencies"], *optional]]
    lines = [line for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    explained = (CHECKOUT / "docs" / "design" / "dependencies.md").read_text(encoding="utf-8")
    for requirement in direct:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
        assert f"`{requirement.name}`" in explained, requirement.name
    assert not [line for line in lines if "+" in line or "://" in line], "a pin is a name and a version"


# The brackets keep this file from being one of those that it looks for.
REGISTRIES = r"py[p]i\.org|python[h]osted\.org|download\.py[t]orch\.org|ana[c]onda\.org|npm[j]s\.org|deb\.[d]ebian\.org"
MACHINE_PATHS = r"(?<![\w.*~\]}/-])/([w]ork|[r]oot|[t]mp|[h]ome|[o]pt|[U]sers)/"


def test_nothing_names_a_registry_or_a_machine():
    pattern = re.compile(f"{REGISTRIES}|{MACHINE_PATHS}")
    found = {}
    for path in kept_files():
        content = path.read_bytes()
        if b"\0" not in content[:4096] and (match := pattern.search(content.decode("utf-8", "replace"))):
            found[str(path.relative_to(CHECKOUT))] = match[0]
    assert found == {}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """Names of the files in a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_package_presets_and_manifests_only(wheel):
    kept = [path.relative_to(CHECKOUT).as_posix() for path in kept_files()]
    expected = {name for name in kept if name.startswith("genomix/")}
    expected |= {f"genomix/_shipped/{name}" for name in kept if name.startswith(("models/", "data_manifests/"))}
    assert {name for name in wheel if ".dist-info/" not in name} == expected
    assert {"genomix/cli/main.py", "genomix/_shipped/models/tiny.toml"} <= wheel
    assert any(re.fullmatch(r"genomix/_shipped/data_manifests/[^/]+\.toml", name) for name in wheel)
    assert {Path(name).suffix for name in kept if name.startswith("models/")} <= {".toml", ".md"}


def test_only_the_package_can_be_imported_after_an_editable_install(tmp_path):
    try:
        origin = json.loads(distribution("genomix-paramixer").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        pytest.skip("genomix-paramixer isn't installed here; `make test` installs it")
    assert origin.get("dir_info", {}).get("editable"), "the tests run from an editable install"

    def importing(name: str) -> int:
        return subprocess.run([sys.executable, "-I", "-c", f"import {name}"], cwd=tmp_path, capture_output=True, check=False).returncode

    assert importing("genomix.cli.main") == 0
    assert {name: importing(name) for name in ("models", "pipelines", "tests", "benchmarks", "data_manifests")} == dict.fromkeys(
        ("models", "pipelines", "tests", "benchmarks", "data_manifests"), 1
    )
