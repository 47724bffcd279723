"""The settings of a run, put together from every place where a user may write them.

From weak to strong: the defaults of the stages' own models, a preset (`models/NAME.toml`), a file (`--config run.toml`), the environment
(`GENOMIX_TRAIN_LEARNING_RATE=1e-3`), the command line (`--set train.learning_rate=1e-3`, and above it the options that have a name of their own). Each is
laid over the one before, key by key.

The schema says what may be set: a pydantic model whose fields are tables, which are pydantic models again, to any depth. A name that it doesn't have is
an error that says where the name stands and which known name is nearest.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from genomix.errors import SettingsError
from genomix.settings.presets import known_presets, load_preset, preset_path
from genomix.settings.schema import Name, Schema, Setting
from genomix.settings.sources import from_assignments, from_environment, from_options, from_tables, named_preset, read_toml

__all__ = ["known_presets", "load_preset", "preset_path", "resolve", "to_toml"]

_log = logging.getLogger(__name__)

SettingsT = TypeVar("SettingsT", bound=BaseModel)

NOTHING = "none"
"""How a setting without a value is written; TOML has no word for it."""


def resolve(
    model: type[SettingsT],
    *,
    preset: str | None = None,
    default_preset: str | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    assignments: Sequence[str] = (),
    options: Mapping[str, Any] = MappingProxyType({}),
) -> SettingsT:
    """The settings that hold, checked. Those that the environment or the command line sets are the set fields (`model_dump(exclude_unset=True)`): who writes
    one there means it, while a file such as a run.toml has all of them.

    Args:
        model: the tables and their defaults.
        preset: as the command line names it; else `GENOMIX_PRESET`, else the file's own `preset = "..."`, else `default_preset`.
        assignments: `table.key=value`, each value a TOML literal or else a bare word.
        options: full name with dots -> value, from options that have a name of their own; None is an option that wasn't given.

    Raises:
        SettingsError: a name is unknown, a value out of range, or a file is not TOML.
        InputMissing: there is no such file.
        UsageError: an assignment has no `=`.
    """
    schema = Schema(model)
    file = read_toml(config) if config else {}
    base = preset or environment.get("GENOMIX_PRESET") or named_preset(file, str(config)) or default_preset
    chosen: dict[Name, Setting] = {}
    beneath = list(from_tables(load_preset(base), str(preset_path(base)), schema)) if base else []
    over = list(from_tables(file, str(config), schema))
    if preset:
        _warn_without_effect(preset, beneath, over)
    said = (*from_environment(environment, schema), *from_assignments(assignments, schema), *from_options(options, schema))
    for setting in (*schema.defaults(), *beneath, *over, *said):
        chosen.pop(setting.name, None)  # so that the dictionary's order is the order of strength
        chosen[setting.name] = setting
    return _marked(_build(model, chosen, schema), [setting.name for setting in said])


def _warn_without_effect(preset: str, beneath: Sequence[Setting], over: Sequence[Setting]) -> None:
    """Say that a preset was named in vain, where a file sets all of its settings, not all to the same values."""
    file = {setting.name: setting.value for setting in over}
    if any(setting.name not in file for setting in beneath) or all(file[setting.name] == setting.value for setting in beneath):
        return
    _log.warning("--preset %s has no effect: %s sets all that it says", preset, over[0].where)


def to_toml(settings: BaseModel) -> str:
    """The settings as a TOML file that `resolve` reads back to the same ones, whatever preset lies beneath."""
    return tomli_w.dumps(_with_nothing_named(settings.model_dump(mode="json")))


def _with_nothing_named(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nothing_named(inner) for key, inner in value.items()}
    return NOTHING if value is None else value


def _build(model: type[SettingsT], chosen: dict[Name, Setting], schema: Schema) -> SettingsT:
    nest: dict[str, Any] = {}
    for setting in chosen.values():
        table = nest
        for key in setting.name[:-1]:
            table = table.setdefault(key, {})
        unset = setting.value == NOTHING and type(None) in get_args(schema.leaves[setting.name].annotation)
        table[setting.name[-1]] = None if unset else setting.value
    try:
        return model.model_validate(nest)
    except ValidationError as error:
        raise _refused(error, chosen) from error


def _marked(settings: SettingsT, said: Sequence[Name]) -> SettingsT:
    """The same settings, of which those named are the set fields."""
    values = {
        key: _marked(value, [name[1:] for name in said if name[0] == key]) if isinstance(value, BaseModel) else value
        for key, value in settings
    }
    return settings.model_construct({name[0] for name in said}, **values)


def _refused(error: ValidationError, chosen: dict[Name, Setting]) -> SettingsError:
    """The first of pydantic's complaints, and the place where the value came from."""
    first, *others = error.errors(include_url=False)
    name = tuple(str(part) for part in first["loc"])
    dotted, said = ".".join(name), first["msg"]
    if first["type"] == "missing":
        message = f"{dotted} has no default and must be set"
    elif first["type"] == "value_error":
        message = f"{dotted}: {said.removeprefix('Value error, ')}"
    else:
        message = f"{dotted} {said.removeprefix('Input ')}, found {first['input']!r}"
    more = f" (and {len(others)} more)" if others else ""
    return SettingsError(message + more, where=_blamed(name, chosen))


def _blamed(name: Name, chosen: dict[Name, Setting]) -> str | None:
    """Where the refused value was written; an item of a list is blamed on the list, a rule about a whole table on its strongest setting."""
    written = [other.where for other in chosen.values() if other.name == name[: len(other.name)] or name == other.name[: len(name)]]
    return written[-1] if written else None
