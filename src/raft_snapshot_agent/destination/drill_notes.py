"""The note beside a snapshot that says what came of a drill."""

from __future__ import annotations

from datetime import datetime

from raft_snapshot_agent.core.drill_note import DrillNote
from raft_snapshot_agent.core.proof import AHEAD
from raft_snapshot_agent.core.snapshot import Sidecar, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import BytesSource

_LOOKED_AT = 20
"""Notes of the newest snapshots that are read to find out when a drill was held."""


async def remember_drill(destination: Destination, note: DrillNote) -> None:
    """Leave the note of a drill beside its snapshot.

    A snapshot with one name for ever has none: the next replaces it, perhaps meanwhile.

    Raises:
        StorageError: It cannot be written.
        ConfigError: The key to sign it with is missing.
    """
    if destination.static_name is None:
        text = note.sign(destination.keys).to_json()
        await destination.storage.put(Sidecar.DRILL.name_for(note.snapshot), BytesSource(text))


async def describe_drill(destination: Destination, stored: Stored) -> str:
    """Return what came of the drill of a snapshot, in a few words; empty: there was none."""
    if not stored.drilled:
        return ""
    try:
        note = await _read(destination, stored)
    except SnapshotNotFound:
        return ""
    except StorageError:
        return "unreadable"
    if note is None:
        return "unreadable"
    return str(note) if _is_believed(destination, note) else "unsigned"


async def find_newest_drill(destination: Destination, now: datetime) -> DrillNote | None:
    """Return the note of the newest drill that is noted here and can be believed.

    One from the future is not: it would put the next one off for ever.

    Raises:
        StorageError: The storage cannot be listed or read.
    """
    drilled = [one for one in await destination.stored() if one.drilled]
    newest: tuple[datetime, DrillNote] | None = None
    for one in drilled[:_LOOKED_AT]:
        try:
            note = await _read(destination, one)
        except SnapshotNotFound:
            continue
        if note is None or note.began is None or not _is_believed(destination, note):
            continue
        if note.began <= now + AHEAD and (newest is None or note.began > newest[0]):
            newest = note.began, note
    return None if newest is None else newest[1]


async def _read(destination: Destination, stored: Stored) -> DrillNote | None:
    name = Sidecar.DRILL.name_for(stored.name)
    return DrillNote.from_json(await verification.small(destination.storage, name), stored.name)


def _is_believed(destination: Destination, note: DrillNote) -> bool:
    keys = destination.keys
    return keys is None or note.is_signed(keys)
