"""Choose a stored snapshot as commands do, at the present time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.restore.choice import Choice, Named, Newest, choose
from raft_snapshot_agent.restore.reader import StoredReader


async def choose_newest(places: Sequence[Destination], at: datetime | None = None) -> StoredReader:
    """Choose the newest snapshot, of now or of another time."""
    return _stored(await choose(places, Newest(at), datetime.now(UTC)))


async def choose_named(places: Sequence[Destination], name: str) -> StoredReader:
    """Choose the snapshot of a name."""
    return _stored(await choose(places, Named(name), datetime.now(UTC)))


def _stored(choice: Choice) -> StoredReader:
    assert isinstance(choice.reader, StoredReader)
    return choice.reader
