"""Find the snapshot that was the newest at a given time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import MINYEAR, UTC, datetime

from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError, ConfigError, SnapshotNotFound
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


async def choose_at(destinations: Sequence[Destination], when: datetime) -> StoredReader:
    """Find the newest snapshot that was taken at that time or before.

    Raises:
        ConfigError: Several were taken at the same moment.
        SnapshotNotFound: There is no such snapshot.
        StorageError: No storage could be listed.
    """
    found: list[StoredReader] = []
    trouble: AgentError | None = None
    for destination in destinations:
        try:
            stored = await destination.stored()
        except AgentError as error:
            trouble = error
            continue
        good = (one for one in stored if one.counts and one.taken_at.year > MINYEAR)
        found += [StoredReader(destination, one) for one in good if one.taken_at <= when]
    if not found:
        raise trouble or SnapshotNotFound(
            f"no snapshot was taken at {when:%Y-%m-%dT%H:%M:%SZ} or before",
            hint="list shows what is stored",
        )
    best = max(map(_rank, found))
    chosen = [one for one in found if _rank(one) == best]
    names = sorted({one.stored.name for one in chosen})
    if len(names) > 1:
        raise ConfigError(
            f"{len(names)} snapshots were taken at {best[0]:%Y-%m-%dT%H:%M:%SZ}:"
            f" {', '.join(names)}",
            hint="give the name of the one you mean",
        )
    return chosen[0]


def _rank(reader: StoredReader) -> tuple[datetime, bool]:
    return reader.stored.taken_at, reader.stored.verified
