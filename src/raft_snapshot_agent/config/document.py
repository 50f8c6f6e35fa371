"""Reads YAML, JSON and TOML into plain values, with the position of each key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any

from raft_snapshot_agent.config.keys import DEEPEST, PUT_IN_QUOTES, KeyPath, Mark, format_path
from raft_snapshot_agent.config.positions import TextError, json_marks, toml_marks
from raft_snapshot_agent.errors import ConfigError

_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_SCHEMA = "$schema"
"""Where editors find the schema of a file; not a setting."""
_LONG_NUMBER = re.compile(r"[0-9][0-9_]{1000,}")
_MOST_BITS = 64
_TOO_LARGE = "this number is too large"
_BEFORE = "look at the commas, quotes and brackets right before it"
_Parsed = tuple[Any, dict[KeyPath, Mark]]


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file, with positions."""

    name: str
    """The name of the file in error messages."""
    value: dict[str, Any] = field(repr=False)
    marks: Mapping[KeyPath, Mark] = field(repr=False)
    author: int | None = None
    """The user ID of the owner, unless that is root or this process's user."""

    def mark(self, path: KeyPath) -> Mark:
        """Return the position of a key, or of the nearest key around it."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, Mark(1, 1))

    def has(self, path: KeyPath) -> bool:
        """Return whether the file has a value for a key."""
        return value_at(self.value, path) is not None

    def place(self, path: KeyPath, *, named: bool = True) -> str:
        """Write `FILE:LINE:COLUMN: key.path`, or only the path of its mapping if not `named`."""
        return _place(self.name, self.mark(path), path if named else path[:-1])


def parse(name: str, suffix: str, text: str) -> Document:
    """Read a text in the format of the file suffix; if that is not known, as JSON or YAML.

    Raises:
        ConfigError: It is empty or invalid, or has a key twice.
    """
    try:
        value, marks = _parser(suffix, text)(text) if text.strip() else (None, {})
        _refuse_unwritable(value, (), marks)
    except TextError as error:
        place = _place(name, error.mark, error.path)
        raise ConfigError(f"{place}: {error}", hint=error.hint) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply", hint="no key needs that") from None
    if isinstance(value, dict):
        value.pop(_SCHEMA, None)
    if value is None or value == {}:
        hint = "write at least `storages: [{type: local, path: /var/backups/vault}]`"
        raise ConfigError(f"{name}: the file is empty", hint=hint)
    if not isinstance(value, dict):
        what = f"the top level must be a mapping of keys, not {kind(value)}"
        raise ConfigError(f"{name}:1:1: {what}", hint="begin with vault:, schedule:, storages:")
    return Document(name, value, marks)


def value_at(value: Any, path: KeyPath) -> Any:
    """Return the value at a path; `None` if there is none."""
    for key in path:
        try:
            value = value[key]
        except (LookupError, TypeError):
            return None
    return value


def kind(value: object) -> str:
    """Return the type of a value in words for an operator."""
    names: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a fraction",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), "nothing")


def _place(name: str, mark: Mark, path: KeyPath) -> str:
    where = f"{name}:{mark.line}:{mark.column}"
    return f"{where}: {format_path(path)}" if path else where


def _parser(suffix: str, text: str) -> Callable[[str], _Parsed]:
    if suffix == ".toml":
        return _parse_toml
    if suffix == ".json" or (suffix not in (".yaml", ".yml") and _is_json(text)):
        return _parse_json
    from raft_snapshot_agent.config.yaml_text import parse_yaml  # JSON and TOML need no PyYAML

    return parse_yaml


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _parse_json(text: str) -> _Parsed:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        mark = Mark(error.lineno, error.colno)
        raise TextError(f"not JSON: {error.msg}", mark, hint=_BEFORE) from None
    except ValueError:
        raise _too_long_number(text) from None
    return value, json_marks(text)


def _parse_toml(text: str) -> _Parsed:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_PLACE.search(str(error))
        end = Mark(text.count("\n") + 1, len(text) - text.rfind("\n"))
        mark = Mark(int(found[1]), int(found[2])) if found and found[1] else end
        what = _TOML_PLACE.sub("", str(error))
        raise TextError(f"not TOML: {what}", mark, hint=_BEFORE) from None
    except ValueError:
        raise _too_long_number(text) from None
    marks = toml_marks(text)
    _refuse_dates(value, (), marks)
    return value, marks


def _too_long_number(text: str) -> TextError:
    """Return the error for a number that Python does not read."""
    found = _LONG_NUMBER.search(text)
    before = text[: found.start() if found else 0]
    mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
    return TextError(_TOO_LARGE, mark, hint=PUT_IN_QUOTES)


def _refuse_unwritable(value: Any, path: KeyPath, marks: Mapping[KeyPath, Mark]) -> None:
    """Refuse what no setting may have: NUL, surrogates, and numbers of more than 64 bits.

    Raises:
        TextError: It has such a value.
        RecursionError: It is nested too deeply.
    """
    match value:
        case dict() | list() if len(path) > DEEPEST:
            raise RecursionError
        case dict():
            for key, child in value.items():
                _refuse_unwritable(str(key), (*path, key), marks)
                _refuse_unwritable(child, (*path, key), marks)
        case list():
            for index, child in enumerate(value):
                _refuse_unwritable(child, (*path, index), marks)
        case int() if value.bit_length() > _MOST_BITS:
            raise TextError(_TOO_LARGE, marks.get(path, Mark(1, 1)), path, hint=PUT_IN_QUOTES)
        case str() if found := _UNWRITABLE.search(value):
            what = f"has a character that is not allowed: U+{ord(found.group()):04X}"
            where = path if _UNWRITABLE.search(format_path(path)) is None else path[:-1]
            raise TextError(what, marks.get(path, Mark(1, 1)), where, hint="remove it")


def _refuse_dates(value: Any, path: KeyPath, marks: Mapping[KeyPath, Mark]) -> None:
    match value:
        case dict():
            for key, child in value.items():
                _refuse_dates(child, (*path, key), marks)
        case list():
            for index, child in enumerate(value):
                _refuse_dates(child, (*path, index), marks)
        case date() | time():
            raise TextError("must not be a date", marks[path], path, hint="put it in quotes")
