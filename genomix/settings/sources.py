"""The places where settings are written: TOML files, environment variables, the command line."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from genomix.errors import InputMissing, SettingsError, UsageError
from genomix.settings.schema import Schema, Setting, did_you_mean

NOTES = frozenset({"preset", "description"})
"""Top-level keys of a file that are no settings: the preset that it builds on, and a text for the reader."""

RESERVED_VARIABLES = frozenset({"GENOMIX_PRESET", "GENOMIX_CACHE", "GENOMIX_NATIVE"})
"""Environment variables of the program's own that name no setting."""


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's tables.

    Raises:
        InputMissing: it can't be opened.
        SettingsError: it is not TOML; the error names the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputMissing(f"cannot open: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise SettingsError("expected a TOML file, found bytes that are not UTF-8", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        place = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", str(error), re.DOTALL)
        message, where = (place[1], f"{path}, line {place[2]}") if place else (str(error), str(path))
        raise SettingsError(f"not TOML: {message}", where=where) from error


def named_preset(tables: dict[str, Any], where: str) -> str | None:
    """The preset that a file builds on, where it names one."""
    name = tables.get("preset")
    if name is not None and not isinstance(name, str):
        raise SettingsError(f"expected the name of a preset, found preset = {name!r}", where=where)
    return name


def from_tables(tables: dict[str, Any], where: str, schema: Schema) -> Iterator[Setting]:
    """A file's settings."""
    for key, value in tables.items():
        if key not in NOTES and not schema.passes_over(key):
            yield from schema.settings(value, (key,), where)


def from_environment(environment: Mapping[str, str], schema: Schema) -> Iterator[Setting]:
    """What `GENOMIX_TABLE_KEY` variables set."""
    for variable, text in environment.items():
        if not variable.startswith("GENOMIX_") or variable in RESERVED_VARIABLES:
            continue
        if variable in schema.variables:
            name = schema.variables[variable]
            yield Setting(name, _literal(text, schema.leaves[name]), variable)
        elif not schema.passes_over(variable.split("_")[1].lower()):
            names = [*schema.variables, *sorted(RESERVED_VARIABLES)]
            raise SettingsError(
                "names no setting", where=f"environment variable {variable}", hint=did_you_mean(variable, names) or "unset it"
            )


def from_assignments(assignments: Sequence[str], schema: Schema) -> Iterator[Setting]:
    """What `--set table.key=value` sets.

    Raises:
        UsageError: there is no `=`.
    """
    for assignment in assignments:
        dotted, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"expected --set table.key=value, found {assignment!r}")
        name = tuple(dotted.strip().split("."))
        yield from schema.settings(_literal(text.strip(), schema.leaves.get(name)), name, f"--set {dotted.strip()}")


def from_options(options: Mapping[str, Any], schema: Schema) -> Iterator[Setting]:
    """What options with a name of their own set; None is an option that wasn't given."""
    for dotted, value in options.items():
        if value is not None:
            yield from schema.settings(value, tuple(dotted.split(".")), "command line")


def _literal(text: str, field: FieldInfo | None) -> Any:
    """A value typed by hand: a TOML literal, or the text itself where it is none, or where the setting is a text (`--set data.column=7`)."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = parsed["value"]
    if len(parsed) > 1 or isinstance(value, date | datetime | time):
        return text
    types = {field.annotation, *get_args(field.annotation)} if field else set()
    return text if str in types and isinstance(value, int | float) and type(value) not in types else value
