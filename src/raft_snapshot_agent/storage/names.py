"""Checks the names of objects, for all storages."""

from __future__ import annotations

from raft_snapshot_agent.errors import SnapshotNotFound, StorageError


def not_found(name: str, where: str) -> SnapshotNotFound:
    """Return the error for a missing object."""
    return SnapshotNotFound(f"there is no {name!r} in {where}", hint="try list")


def folder_in_the_way(failed: str) -> StorageError:
    """Return the error for an object whose name a folder has, which must not be replaced.

    Arguments:
        failed: Start of the message, such as `cannot store latest in /srv/backups`.
    """
    hint = "rename the folder, or choose another static_name or prefix"
    return StorageError(f"{failed}: a folder has this name", hint=hint)


def require_plain_name(name: str, where: str) -> str:
    """Return the name if it is a plain name of an object directly under the prefix.

    Raises:
        SnapshotNotFound: It is empty or contains a path.
    """
    if name in {"", ".", ".."} or "/" in name:
        raise not_found(name, where)
    return name
