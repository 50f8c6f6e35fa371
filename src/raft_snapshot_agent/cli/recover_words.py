"""What `recover` shows before it writes: the differences, and what does not come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raft_snapshot_agent.core.foreign_json import write_json
from raft_snapshot_agent.restore.field_changes import compare_fields
from raft_snapshot_agent.restore.recovery import Present, Recovered
from raft_snapshot_agent.restore.roles import describe_missing, describe_role_id
from raft_snapshot_agent.restore.versions import describe_lost


def describe_step(found: Recovered, now: Present) -> Iterator[str]:
    """Return what is written where, and what does not come back, one line each."""
    of = f" version {found.version}" if found.version else ""
    yield f"{now.place.path} from {found.place.path}{of} of the snapshot"
    if missing := describe_missing(now.place):
        yield missing
    if own := describe_role_id(found.place, now.place):
        yield own
    is_gone = now.data is None and not now.version
    others = len({*found.versions} - {str(found.version)})
    if is_gone and (lost := describe_lost(found.metadata, others)):
        yield f"{now.place.path}: not written back: {lost}; --output FILE writes all of it down"


def list_changes(now: Present, data: Mapping[str, Any], *, show: bool) -> Iterator[dict[str, str]]:
    """Return a row for each field; values only with `show`."""
    for change in compare_fields(now.data, data):
        row = {"path": now.place.path, "field": change.name, "change": change.change}
        if show:
            row |= {"now": _format_value(change.now), "snapshot": _format_value(change.then)}
        yield row


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else "-" if value is None else write_json(value)
