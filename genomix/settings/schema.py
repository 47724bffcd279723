"""Which names may be set, read off a pydantic model whose fields are tables."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from genomix.errors import SettingsError

Name = tuple[str, ...]
"""A setting's full name: ("train", "learning_rate")."""

TABLES = frozenset({"data", "tokenizer", "model", "train", "masking", "predict", "explain"})
"""Every table that some command reads. A command that needs only some of them passes over the others in files and in the environment: one run.toml serves every command."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that a user wrote, and where."""

    name: Name
    value: Any
    where: str


class Schema:
    """The names that a model has: `leaves` take values, `tables` hold further names, `variables` are the leaves' names in the environment."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model
        self.leaves: dict[Name, FieldInfo] = {}
        self.tables: dict[Name, type[BaseModel]] = {}
        self._collect(model, ())
        self.variables = {"GENOMIX_" + "_".join(name).upper(): name for name in self.leaves}

    def _collect(self, model: type[BaseModel], name: Name) -> None:
        self.tables[name] = model
        for key, field in model.model_fields.items():
            annotation = field.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                self._collect(annotation, (*name, key))
            else:
                self.leaves[*name, key] = field

    def passes_over(self, key: str) -> bool:
        """Whether the key is a table that only other commands read."""
        return key in TABLES and (key,) not in self.tables

    def settings(self, value: Any, name: Name, where: str) -> Iterator[Setting]:
        """A value, or a nest of tables, as the settings in it.

        Raises:
            SettingsError: a name is unknown, or a value stands where a table should.
        """
        if name in self.leaves:
            yield Setting(name, value, where)
        elif name not in self.tables:
            raise self._unknown(name, where)
        elif not isinstance(value, dict):
            raise SettingsError(f"expected a table [{'.'.join(name)}], found {value!r}", where=where)
        else:
            for key, inner in value.items():
                yield from self.settings(inner, (*name, key), where)

    def defaults(self) -> Iterator[Setting]:
        """What the default of a table (`augment = AugmentSettings(crop=0)`) sets against the defaults of the table's own class."""
        for name, model in self.tables.items():
            for key, field in model.model_fields.items():
                default = field.get_default(call_default_factory=True)
                if isinstance(default, BaseModel):
                    yield from self.settings(default.model_dump(exclude_unset=True), (*name, key), "defaults")

    def _unknown(self, name: Name, where: str) -> SettingsError:
        """The error for a name of which some part is unknown; it speaks of the first such part."""
        depth = next(depth for depth in range(1, len(name) + 1) if name[:depth] not in self.tables)
        table, key = name[: depth - 1], name[depth - 1]
        if name[:depth] in self.leaves:
            return SettingsError(f"{'.'.join(name[:depth])} takes a value and has no keys of its own", where=where)
        siblings = [other[-1] for other in (*self.tables, *self.leaves) if other and other[:-1] == table]
        elsewhere = [".".join(other) for other in self.leaves if other[-1] == key]
        hint = did_you_mean(key, siblings) or (f"did you mean {elsewhere[0]}?" if elsewhere else f"known: {', '.join(siblings)}")
        kind = f"setting {key!r} in [{'.'.join(table)}]" if table else f"table {key!r}"
        return SettingsError(f"unknown {kind}", where=where, hint=hint)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known name; empty where none is near."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {found[0]}?" if found else ""
