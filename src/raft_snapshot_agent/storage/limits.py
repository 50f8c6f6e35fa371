"""Limits of the length of a storage's listing."""

from __future__ import annotations

from raft_snapshot_agent.errors import StorageError

MOST_OBJECTS = 200_000
"""Default of `max_objects`; a listing of this length takes about 50 MiB."""


class ListTooLong(StorageError):
    """A listing is endless or exceeds its limit; a retry would not help."""


def too_many(doing: str, most: int) -> ListTooLong:
    """Return the error for a listing longer than its limit."""
    return ListTooLong(
        f"{doing}: there are more than {most} objects",
        hint="raise max_objects, or give these snapshots a folder of their own: prefix",
    )


def endless(doing: str, seconds: float) -> ListTooLong:
    """Return the error for a listing that does not end in time."""
    return ListTooLong(
        f"{doing}: the listing did not end within {seconds:g} s",
        hint="raise timeout, or give these snapshots a folder of their own: prefix",
    )
