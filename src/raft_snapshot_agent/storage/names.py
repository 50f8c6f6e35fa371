"""The names of objects, as every storage takes them."""

from __future__ import annotations

from raft_snapshot_agent.errors import SnapshotNotFound


def not_found(name: str, where: str) -> SnapshotNotFound:
    """Describe that `where` holds nothing of that name."""
    return SnapshotNotFound(f"there is no {name!r} in {where}", hint="try list")


def require_plain_name(name: str, where: str) -> str:
    """Return the name, where it can only mean an object directly under the prefix.

    Raises:
        SnapshotNotFound: It is empty, or leads elsewhere.
    """
    if name in {"", ".", ".."} or "/" in name:
        raise not_found(name, where)
    return name
