"""Turns what pydantic finds wrong into one line with its place and its mend."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from raft_snapshot_agent.config.document import Document, kind, value_at
from raft_snapshot_agent.config.marks import KeyPath, Mark
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.secret import HIDDEN, redact

_Model = TypeVar("_Model", bound=BaseModel)
_Node = dict[str, Any]
Place = Callable[[KeyPath], str]
"""Says where a key stands: `FILE:LINE:COLUMN: key`."""
Origin = Callable[[KeyPath], KeyPath]
"""Says where in the document a key comes from that stands elsewhere in what is validated."""

_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping of keys",
    "model": "a mapping of keys",
    "dataclass": "a mapping of keys",
}
_CONSEQUENCE = "default_factory_not_called"
"""What pydantic adds when a key that the default depends on is wrong."""
_BOUNDS = {
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
}


@dataclass(frozen=True, slots=True)
class _Finding:
    """What pydantic found, where, and what the schema says of that place."""

    path: KeyPath
    value: Any
    message: str
    context: Mapping[str, Any]
    around: _Node
    """The schema of the mapping that the last key of the path is in."""
    node: _Node
    """The schema of the value itself."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """One thing that is wrong."""

    path: KeyPath
    what: str
    hint: str = ""
    key: str = ""
    """The key that the hint suggests."""


def validate(
    model: type[_Model],
    value: Mapping[str, Any],
    document: Document,
    origin: Origin = lambda path: path,
) -> _Model:
    """Make a model of plain values, without guessing: `"5"` is no number, `1.5` not whole.

    Raises:
        ConfigError: Shows the first fault in the order of the file, and counts the others.
    """
    try:
        # JSON is the mode in which strict validation takes text for a path and lists for tuples.
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    details = [detail for detail in details if detail["type"] != _CONSEQUENCE]
    schema = model.model_json_schema()
    faults = _told_once([_fault(detail, schema, value) for detail in details])
    raise _first(document, [replace(fault, path=origin(fault.path)) for fault in faults])


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or nothing."""
    cutoff = 0.6 if len(word) > 2 else 0.5
    return next(iter(get_close_matches(word, list(known), 1, cutoff)), "")


def _first(document: Document, faults: list[_Fault]) -> ConfigError:
    def order(fault: _Fault) -> Mark:
        return document.mark(fault.path)

    first = min(faults, key=order)
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    message = f"{document.place(first.path)}: {first.what}{more}"
    return ConfigError(redact(message), hint=redact(first.hint))


def _told_once(faults: list[_Fault]) -> list[_Fault]:
    """Leave out the missing key that a misspelt one was meant to be."""
    meant = {(*fault.path[:-1], fault.key) for fault in faults if fault.key}
    return [fault for fault in faults if fault.path not in meant]


def _fault(detail: ErrorDetails, schema: _Node, value: Any) -> _Fault:
    path, around, node = _follow(schema, detail["loc"])
    finding = _Finding(
        path, value_at(value, path), detail["msg"], detail.get("ctx", {}), around, node
    )
    kind_of_error = detail["type"]
    if kind_of_error in _BOUNDS:
        return _Fault(path, _BOUNDS[kind_of_error].format(**finding.context))
    if kind_of_error in _READERS:
        return _READERS[kind_of_error](finding)
    wanted = _WANTED.get(kind_of_error.split("_")[0])
    return _wrong_kind(finding, wanted) if wanted else _refused(finding)


def _missing(finding: _Finding) -> _Fault:
    return _Fault(finding.path, "required key is missing")


def _unknown_key(finding: _Finding) -> _Fault:
    known = list(finding.around.get("properties", {}))
    key = nearest(str(finding.path[-1]), known)
    return _Fault(finding.path, "unknown key", _suggestion(key, known), key)


def _missing_tag(finding: _Finding) -> _Fault:
    return _Fault(_tag_path(finding), "required key is missing", _suggestion("", _tags(finding)))


def _unknown_tag(finding: _Finding) -> _Fault:
    path, tag = _tag_path(finding), finding.context["tag"]
    known = _tags(finding)
    return _Fault(path, f"unknown {path[-1]} {tag!r}", _suggestion(nearest(tag, known), known))


def _unknown_value(finding: _Finding) -> _Fault:
    known = [str(one) for one in finding.node.get("enum", [finding.node.get("const")])]
    if not isinstance(finding.value, str):
        what = f"must be one of {', '.join(known)}, not {kind(finding.value)}"
        return _Fault(finding.path, what, _quotes(finding.value))
    hint = _suggestion(nearest(finding.value, known), known)
    return _Fault(finding.path, f"unknown value {finding.value!r}", hint)


def _misplaced(finding: _Finding) -> _Fault:
    return _Fault((*finding.path, *finding.context["at"]), finding.message)


def _refused(finding: _Finding) -> _Fault:
    """Show a validator's own message, but no address with a password in it."""
    message = finding.message.removeprefix("Value error, ")
    if isinstance(finding.value, str) and "@" in finding.value:
        for text in (finding.value, finding.value.partition("://")[2]):
            message = message.replace(text or HIDDEN, HIDDEN)
    examples = ", ".join(finding.node.get("examples", []))
    shown = not examples or "such as" in message
    return _Fault(finding.path, message, "" if shown else f"write it like {examples}")


def _wrong_kind(finding: _Finding, wanted: str) -> _Fault:
    hint = _quotes(finding.value) if wanted == "text" else ""
    return _Fault(finding.path, f"must be {wanted}, not {kind(finding.value)}", hint)


def _quotes(value: Any) -> str:
    return "put it in quotes" if isinstance(value, bool | int | float) else ""


def _suggestion(near: str, known: Iterable[str]) -> str:
    return f"did you mean {near!r}?" if near else f"one of {', '.join(known)}"


def _tag_path(finding: _Finding) -> KeyPath:
    return (*finding.path, finding.context["discriminator"].strip("'"))


def _tags(finding: _Finding) -> list[str]:
    return list(finding.node.get("discriminator", {}).get("mapping", {}))


def _follow(schema: _Node, loc: tuple[int | str, ...]) -> tuple[KeyPath, _Node, _Node]:
    """Walk the JSON schema along pydantic's location, in which unions add a step of their own."""
    path, around, node = KeyPath(), schema, schema
    for step in loc:
        mapping = node.get("discriminator", {}).get("mapping", {})
        if step in mapping:
            node = _plain(schema, {"$ref": mapping[step]})
            continue
        path, around = (*path, step), node
        inner = node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
        node = _plain(schema, inner or {})
    return path, around, node


def _plain(schema: _Node, node: _Node) -> _Node:
    """Resolve references, and take the type of `type or null`."""
    while True:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif "anyOf" in node:
            node = next(one for one in node["anyOf"] if one.get("type") != "null")
        else:
            return node


_READERS: dict[str, Callable[[_Finding], _Fault]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "unexpected_keyword_argument": _unknown_key,
    "union_tag_not_found": _missing_tag,
    "union_tag_invalid": _unknown_tag,
    "literal_error": _unknown_value,
    "misplaced": _misplaced,
}
