"""Find a snapshot by its name, or names similar to a missing one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.errors import SnapshotNotFound

_LOOKED_AT = 300
"""Number of newest names to compare, as comparing takes time."""
_NEAREST = 3


def find_named(listed: Iterable[Stored], name: str) -> Stored:
    """Find the snapshot of this name.

    Raises:
        SnapshotNotFound: It does not exist.
    """
    known = {one.name: one for one in listed}
    if name in known:
        return known[name]
    hint = f"{describe_nearest(name, known)}list shows what is stored"
    raise SnapshotNotFound(f"no snapshot is called {name}", hint=hint)


def describe_nearest(name: str, names: Collection[str]) -> str:
    """Describe the names most similar to a missing one; empty if there are none."""
    near = difflib.get_close_matches(name, sorted(names, reverse=True)[:_LOOKED_AT], _NEAREST, 0.5)
    return f"nearest: {', '.join(near)}; " if near else ""
