"""The differences between a secret in the cluster and in a snapshot, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raft_snapshot_agent.core.foreign_json import write_json


@dataclass(frozen=True, slots=True)
class FieldChange:
    """How one field of a secret differs."""

    name: str
    change: str
    """`added`, `changed`, `removed` or `same`, from the present to the new data."""
    now: Any = field(default=None, repr=False)
    then: Any = field(default=None, repr=False)


def compare_fields(now: Mapping[str, Any] | None, then: Mapping[str, Any]) -> list[FieldChange]:
    """List the differences between the present and the new data."""
    old = now or {}
    found = []
    for name in sorted({*old, *then}):
        if name not in old:
            change = "added"
        elif name not in then:
            change = "removed"
        else:
            change = "same" if _is_same(old[name], then[name]) else "changed"
        found.append(FieldChange(name, change, old.get(name), then.get(name)))
    return found


def differs(now: Mapping[str, Any] | None, then: Mapping[str, Any]) -> bool:
    """Return whether there is anything to write."""
    return now is None or not _is_same(now, then)


def _is_same(one: Any, other: Any) -> bool:
    """Compare as JSON, in which true is not 1, and all digits of a number count."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return write_json(one) == write_json(other)
