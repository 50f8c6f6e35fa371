"""Every key that the schema of the configuration knows, and a document that has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Keys = tuple[tuple[str, ...], list[tuple[tuple[str, ...], str]]]


def keys_of(described: dict[str, Any]) -> Iterator[Keys]:
    """Yield each key's path, with the tags that must be there for it to be known."""
    return _keys(described, described["$defs"], ())


def _keys(node: dict[str, Any], defs: dict[str, Any], path: tuple[str, ...]) -> Iterator[Keys]:
    if "$ref" in node:
        node = {**defs[node["$ref"].rpartition("/")[2]], **node}
    tag = node.get("discriminator", {}).get("propertyName")
    for value, reference in node.get("discriminator", {}).get("mapping", {}).items():
        for inner, around in _keys({"$ref": reference}, defs, path):
            if inner[-1] != tag:
                yield inner, [((*path, tag), value), *around]
    for key, inner_node in node.get("properties", {}).items():
        yield (*path, key), []
        yield from _keys(inner_node, defs, (*path, key))
    if "items" in node:
        yield from _keys(node["items"], defs, (*path, "0"))


def document_with(
    around: list[tuple[tuple[str, ...], str]], path: tuple[str, ...], value: Any
) -> Any:
    document: dict[str, Any] = {}
    for where, what in [*around, (path, value)]:
        inner = document
        for key in where[:-1]:
            inner = inner.setdefault(key, {})
        inner[where[-1]] = what
    return _listed(document)


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return (
        [_listed(value["0"])] if "0" in value else {key: _listed(one) for key, one in value.items()}
    )
