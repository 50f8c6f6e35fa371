"""What a crashed run may leave behind: half-written things under names of ours."""

from __future__ import annotations

from raft_snapshot_agent.core.naming import parse
from raft_snapshot_agent.core.snapshot import MANIFEST_SUFFIX


def is_ours(name: str, static_name: str | None) -> bool:
    """Tell whether a snapshot or a manifest of ours has this name."""
    snapshot = name.removesuffix(MANIFEST_SUFFIX)
    return snapshot == static_name or parse(snapshot) is not None
