"""Presets: files of settings that go with the program, found by name."""

import itertools
from pathlib import Path
from typing import Any

from genomix.errors import SettingsError
from genomix.resources import resource_folder
from genomix.settings.schema import did_you_mean
from genomix.settings.sources import read_toml


def known_presets() -> dict[str, Path]:
    """Preset name -> its file, by name."""
    return {path.stem: path for path in sorted(resource_folder("models").glob("*.toml"))}


def preset_path(name: str) -> Path:
    """The file of a preset: a known name, or a path that ends in `.toml`.

    Raises:
        SettingsError: there is no preset of that name.
    """
    if name.endswith(".toml"):
        return Path(name)
    presets = known_presets()
    if name not in presets:
        hint = f"{did_you_mean(name, presets)} presets: {', '.join(presets)}; or the path of a .toml file".strip()
        raise SettingsError(f"unknown preset {name!r}", hint=hint)
    return presets[name]


def load_preset(name: str) -> dict[str, Any]:
    """The tables of a preset, as its file has them.

    Raises:
        SettingsError: there is no preset of that name, its file is not TOML, or builds on another preset.
        InputMissing: there is no such file.
    """
    path = preset_path(name)
    tables = read_toml(path)
    if "preset" in tables:  # passed over, the settings would be others than its writer meant
        message = f"expected a preset, found a file that builds on one: preset = {tables['preset']!r}"
        raise SettingsError(message, where=str(path), hint=f"--config {path} reads both")
    return tables


def describe_presets() -> list[tuple[str, str]]:
    """Name and purpose of each preset; the purpose is the comment that its file begins with."""
    found = []
    for name, path in known_presets().items():
        comment = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        found.append((name, " ".join(line.lstrip("# ") for line in comment)))
    return found
