"""Find the snapshot that was the newest at a given time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from raft_snapshot_agent.core.snapshots.naming import newest_first
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.restore.choice import Missed, find_newest, ignore
from raft_snapshot_agent.restore.reader import StoredReader


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time; without a zone it is in UTC.

    Raises:
        ConfigError: It is not a time.
    """
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{text!r} is not a time", hint="write one such as 2026-11-23T15:30:00Z"
        ) from error


async def choose_at(
    destinations: Sequence[Destination], when: datetime, missed: Missed = ignore
) -> StoredReader:
    """Find the snapshot that was the latest at that time.

    Arguments:
        destinations: The storages to look in, in order.
        when: The time.
        missed: Called with the storages that may hold a newer one.

    Raises:
        ConfigError: Several were taken at the same moment.
        SnapshotNotFound: There is no such snapshot.
        StorageError: None was found, and storages could not be listed.
    """
    best = await find_newest(destinations, when, missed)
    same = {one.stored.name: one.stored for one in best}
    names = [one.name for one in reversed(newest_first(same.values()))]
    if len(names) > 1:
        raise ConfigError(
            f"{len(names)} snapshots were taken at"
            f" {best[0].stored.taken_at:%Y-%m-%dT%H:%M:%SZ}: {', '.join(names)}",
            hint="give the name of the one you mean",
        )
    return best[0]
