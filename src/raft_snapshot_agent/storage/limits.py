"""How long a list of any storage may be."""

from __future__ import annotations

from raft_snapshot_agent.errors import StorageError

MOST_OBJECTS = 200_000
"""Of a list, unless `max_objects` says otherwise: they take some 50 MiB."""


class ListTooLong(StorageError):
    """A list has no end, or is longer than is taken: another try would take as long."""


def too_many(doing: str, most: int) -> ListTooLong:
    """Describe a list that is longer than is taken."""
    return ListTooLong(
        f"{doing}: there are more than {most} objects",
        hint="raise max_objects, or give these snapshots a folder of their own: prefix",
    )


def endless(doing: str, seconds: float) -> ListTooLong:
    """Describe a list that goes on for longer than is waited for."""
    return ListTooLong(
        f"{doing}: the list has not come to an end within {seconds:g} s",
        hint="raise timeout, or give these snapshots a folder of their own: prefix",
    )
