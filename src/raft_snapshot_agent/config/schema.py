"""Follows the JSON schema of a model and the values of a file together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from raft_snapshot_agent.config.document import value_at
from raft_snapshot_agent.config.keys import KeyPath

Node = dict[str, Any]


def follow(schema: Node, path: KeyPath, value: Any) -> tuple[Node, Node]:
    """Follow a path through the schema; the values of the file select the types.

    Returns:
        The schema of the mapping that contains the last key, and the schema of its value.
    """
    around = node = schema
    for length, step in enumerate(path, 1):
        around = node
        node = _resolve(schema, _inner(node, step) or {}, value_at(value, path[:length]))
    return around, node


def mappings_with(schema: Node, around: Node, key: str) -> list[str]:
    """List the mappings inside another one, and inside its lists, that have a key."""
    found = []
    for name, node in around.get("properties", {}).items():
        if key in _keys(schema, node):
            found.append(name)
        elif key in _keys(schema, _resolve(schema, node).get("items", {})):
            found.append(f"{name}[]")
    return found


def _keys(schema: Node, node: Node) -> set[str]:
    """Return the keys of a mapping; of a union, those of all its members."""
    node = _resolve(schema, node)
    members = node.get("discriminator", {}).get("mapping", {}).values()
    inner = (_resolve(schema, {"$ref": member}) for member in members)
    return {key for one in (node, *inner) for key in one.get("properties", {})}


def has_empty(value: Any) -> bool:
    """Return whether it contains null, or an empty text, list or mapping."""
    match value:
        case dict():
            return not value or any(map(has_empty, value.values()))
        case list():
            return not value or any(map(has_empty, value))
        case str():
            return not value.strip()
        case _:
            return value is None


def empty_values(schema: Node, value: Any) -> Iterator[tuple[KeyPath, str]]:
    """List the empty values of known keys, each with its fault.

    If an empty value is allowed, the schema says so: `minLength`, `minProperties` or `minItems`
    is 0.
    """
    return _empty(schema, schema, value, ())


def without(value: Any, paths: Collection[KeyPath], at: KeyPath = ()) -> Any:
    """Copy a value without these keys; items of lists stay, because paths count them."""
    match value:
        case dict():
            kept = {key: one for key, one in value.items() if (*at, key) not in paths}
            return {key: without(one, paths, (*at, key)) for key, one in kept.items()}
        case list():
            return [without(one, paths, (*at, number)) for number, one in enumerate(value)]
        case _:
            return value


def _empty(schema: Node, node: Node, value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    node = _resolve(schema, node, value)
    if path and (what := _lack(node, value)):
        yield path, what
        return
    match value:
        case dict():
            for key, one in value.items():
                if (inner := _inner(node, key)) is not None:
                    yield from _empty(schema, inner, one, (*path, key))
        case list():
            for number, one in enumerate(value):
                yield from _empty(schema, _inner(node, number) or {}, one, (*path, number))


def _inner(node: Node, step: str | int) -> Node | None:
    """Return the schema of a value in a list or a mapping; `None` if its key is unknown."""
    if isinstance(step, int):
        inner = node.get("items")
    elif step == node.get("discriminator", {}).get("propertyName"):
        inner = {}
    else:
        inner = node.get("properties", {}).get(step, node.get("additionalProperties"))
    return inner if isinstance(inner, dict) else None


def _lack(node: Node, value: Any) -> str:
    match value:
        case None:
            return "has no value"
        case str() if not value.strip():
            may = node.get("minLength") == 0
        case dict() if not value:
            may = node.get("minProperties") == 0
        case list() if not value:
            may = node.get("minItems") == 0
        case _:
            return ""
    return "" if may else "is empty"


def _resolve(schema: Node, node: Node, value: Any = None) -> Node:
    """Resolve references, `type or null`, and unions, whose member is selected by its tag."""
    while True:
        if "$ref" in node:
            # Keys next to a reference apply to this use only.
            beside = {key: one for key, one in node.items() if key != "$ref"}
            node = {**schema["$defs"][node["$ref"].rpartition("/")[2]], **beside}
        elif "anyOf" in node:
            beside = {key: one for key, one in node.items() if key != "anyOf"}
            some: Node = next((one for one in node["anyOf"] if one.get("type") != "null"), {})
            node = {**some, **beside}
        elif member := _member(node, value):
            node = {"$ref": member}
        else:
            return node


def _member(node: Node, value: Any) -> str | None:
    if not isinstance(value, dict) or "discriminator" not in node:
        return None
    tag = value.get(node["discriminator"]["propertyName"])
    member: str | None = node["discriminator"].get("mapping", {}).get(tag) if _is_key(tag) else None
    return member


def _is_key(tag: Any) -> bool:
    return isinstance(tag, str | int)
