"""Convert pydantic's errors to one line each, with position and hint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from raft_snapshot_agent.config.document import Document, kind, value_at
from raft_snapshot_agent.config.keys import (
    PUT_IN_QUOTES,
    SPACE_AFTER_COLON,
    KeyPath,
    Mark,
    Origin,
    format_path,
)
from raft_snapshot_agent.config.schema import (
    Node,
    empty_values,
    follow,
    has_empty,
    mappings_with,
    without,
)
from raft_snapshot_agent.config.suggestions import (
    MISTYPED,
    opposite,
    suggest_key,
    suggest_value,
    synonyms,
)
from raft_snapshot_agent.errors import ConfigError, all_faults
from raft_snapshot_agent.redaction import HIDDEN, redact
from raft_snapshot_agent.secret import AUTHOR

_Model = TypeVar("_Model", bound=BaseModel)

_MAPPING = "a mapping of keys"
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": _MAPPING,
    "model": _MAPPING,
    "dataclass": _MAPPING,
}
_GLUED = re.compile(r"[a-z_]+:(?!//|\s)")
"""A key and its value without a space between them, which YAML reads as text."""
_CONSEQUENCE = "default_factory_not_called"
"""The type of the error that pydantic adds if a key that the default depends on is invalid."""
_BOUNDS = {
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
}


@dataclass(frozen=True, slots=True)
class _Finding:
    """One error of pydantic, with its path and schema."""

    path: KeyPath
    value: Any
    message: str
    context: Mapping[str, Any]
    schema: Node
    """The schema of the whole file."""
    around: Node
    """The schema of the mapping that the last key of the path is in."""
    node: Node
    """The schema of the value itself."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of the configuration."""

    path: KeyPath
    what: str
    hint: str = ""
    key: str = ""
    """The key that the hint suggests."""
    named: bool = True
    """Whether the last key of the path may be shown; it may be a part of a secret."""


def validate(
    model: type[_Model],
    value: Mapping[str, Any],
    document: Document,
    origin: Origin = lambda path: path,
    *,
    allow_empty: bool = False,
) -> _Model:
    """Make a model of plain values, without conversion: `"5"` is no number, `1.5` not whole.

    Arguments:
        model: Its class.
        value: The values.
        document: The file, with positions.
        origin: Returns the path in the file of a key that has another path in `value`.
        allow_empty: Whether an empty value is treated like a missing one.

    Raises:
        ConfigError: Lists every fault, in the order of the file.
    """
    empty = () if allow_empty or not has_empty(value) else _empty(model, value)
    try:
        # Only in JSON mode does strict validation accept text for paths and lists for tuples.
        text = json.dumps(without(value, {fault.path for fault in empty}))
        made = model.model_validate_json(text, strict=True, context={AUTHOR: document.author})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    else:
        if not empty:
            return made
        details = []
    faults = (*empty, *_not_about(empty, _faults(model, details, value)))
    raise _in_order(document, [replace(fault, path=origin(fault.path)) for fault in faults])


def _faults(model: type[BaseModel], details: list[ErrorDetails], value: Any) -> list[_Fault]:
    details = [detail for detail in details if detail["type"] != _CONSEQUENCE]
    schema = _schema_of(model) if details else {}
    return _drop_misspelt([_fault(detail, schema, value) for detail in details])


def _empty(model: type[BaseModel], value: Mapping[str, Any]) -> tuple[_Fault, ...]:
    return tuple(
        _Fault(path, what, "give it a value, or leave it out")
        for path, what in empty_values(_schema_of(model), value)
    )


def _not_about(empty: Iterable[_Fault], faults: Iterable[_Fault]) -> list[_Fault]:
    """Leave out faults that only follow from an empty value or its removal."""
    paths = {fault.path for fault in empty}
    lists = {path[:-1] for path in paths if isinstance(path[-1], int)}
    return [
        fault
        for fault in faults
        if fault.path not in lists
        and not any(fault.path[:length] in paths for length in range(len(fault.path) + 1))
    ]


@cache
def _schema_of(model: type[BaseModel]) -> Node:
    return model.model_json_schema()


def _in_order(document: Document, faults: list[_Fault]) -> ConfigError:
    def order(fault: _Fault) -> Mark:
        return document.mark(fault.path)

    return all_faults([_error(document, fault) for fault in sorted(faults, key=order)])


def _error(document: Document, fault: _Fault) -> ConfigError:
    message = f"{document.place(fault.path, named=fault.named)}: {fault.what}"
    return ConfigError(redact(message), hint=redact(fault.hint))


def _drop_misspelt(faults: list[_Fault]) -> list[_Fault]:
    """Leave out a missing key if a misspelt key probably means it."""
    meant = {(*fault.path[:-1], fault.key) for fault in faults if fault.key}
    return [fault for fault in faults if fault.path not in meant]


def _fault(detail: ErrorDetails, schema: Node, value: Any) -> _Fault:
    path: KeyPath = detail["loc"]
    around, node = follow(schema, path, value)
    finding = _Finding(
        path, value_at(value, path), detail["msg"], detail.get("ctx", {}), schema, around, node
    )
    kind_of_error = detail["type"]
    if kind_of_error in _BOUNDS:
        return _Fault(path, _BOUNDS[kind_of_error].format(**finding.context))
    if kind_of_error in _READERS:
        return _READERS[kind_of_error](finding)
    wanted = _WANTED.get(kind_of_error.split("_")[0])
    return _wrong_kind(finding, wanted) if wanted else _from_validator(finding)


def _missing(finding: _Finding) -> _Fault:
    return _Fault(finding.path, "required key is missing")


def _unknown_key(finding: _Finding) -> _Fault:
    known = list(finding.around.get("properties", {}))
    written = str(finding.path[-1])
    if reverse := opposite(written, known):
        return _Fault(finding.path, "unknown key", f"there is {reverse!r}, which is the opposite")
    deeper = _find_deeper(finding, written)
    key = suggest_key(written, known, MISTYPED if deeper else 0)
    if deeper and not key:
        return _Fault(finding.path, "unknown key", f"did you mean {' or '.join(deeper)}?")
    if finding.value is None and not key:
        # It may be the rest of a password with a comma and without quotes.
        what = "an unknown key has no value"
        return _Fault(finding.path, what, PUT_IN_QUOTES, named=False)
    return _Fault(finding.path, "unknown key", _suggestion(key, known), key)


def _find_deeper(finding: _Finding, written: str) -> list[str]:
    """List the keys inside the same mapping that have this name, else those that it may mean."""
    front = f"{format_path(finding.path[:-1])}.".removeprefix(".")
    for word in (written, *synonyms(written)):
        if names := mappings_with(finding.schema, finding.around, word):
            return [f"'{front}{name}.{word}'" for name in names]
    return []


def _missing_tag(finding: _Finding) -> _Fault:
    return _Fault(_tag_path(finding), "required key is missing", _suggestion("", _tags(finding)))


def _unknown_tag(finding: _Finding) -> _Fault:
    path, tag = _tag_path(finding), finding.context["tag"]
    known = _tags(finding)
    return _Fault(
        path, f"unknown {path[-1]} {tag!r}", _suggestion(suggest_value(tag, known), known)
    )


def _unknown_value(finding: _Finding) -> _Fault:
    known = [str(one) for one in finding.node.get("enum", [finding.node.get("const")])]
    if not isinstance(finding.value, str):
        what = f"must be one of {', '.join(known)}, not {kind(finding.value)}"
        return _Fault(finding.path, what)
    hint = _suggestion(suggest_value(finding.value, known), known)
    return _Fault(finding.path, f"unknown value {finding.value!r}", hint)


def _from_misplaced(finding: _Finding) -> _Fault:
    return _Fault((*finding.path, *finding.context["at"]), finding.message)


def _from_validator(finding: _Finding) -> _Fault:
    """Return a validator's message, without the password of an address."""
    message = finding.message.removeprefix("Value error, ")
    if isinstance(finding.value, str):
        message = message.replace(_user_info(finding.value) or HIDDEN, HIDDEN)
    examples = ", ".join(finding.node.get("examples", []))
    shown = not examples or "such as" in message
    return _Fault(finding.path, message, "" if shown else f"write it like {examples}")


def _user_info(value: str) -> str:
    """Return the part before the host of a text that looks like an address; it has no spaces."""
    before, at, _ = value.rpartition("@")
    is_address = "://" in before or not any(one.isspace() for one in value)
    return before.rpartition("://")[2] if at and is_address else ""


def _wrong_kind(finding: _Finding, wanted: str) -> _Fault:
    hint = _quotes(finding.value) if wanted == "text" else ""
    if wanted == _MAPPING and _GLUED.match(str(finding.value)):
        hint = SPACE_AFTER_COLON
    return _Fault(finding.path, f"must be {wanted}, not {kind(finding.value)}", hint)


def _quotes(value: Any) -> str:
    return "put it in quotes" if isinstance(value, bool | int | float) else ""


def _suggestion(near: str, known: Iterable[str]) -> str:
    return f"did you mean {near!r}?" if near else f"one of {', '.join(known)}"


def _tag_path(finding: _Finding) -> KeyPath:
    return (*finding.path, finding.context["discriminator"].strip("'"))


def _tags(finding: _Finding) -> list[str]:
    return list(finding.node.get("discriminator", {}).get("mapping", {}))


_READERS: dict[str, Callable[[_Finding], _Fault]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "unexpected_keyword_argument": _unknown_key,
    "union_tag_not_found": _missing_tag,
    "union_tag_invalid": _unknown_tag,
    "literal_error": _unknown_value,
    "enum": _unknown_value,
    "misplaced": _from_misplaced,
}
