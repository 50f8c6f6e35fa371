"""The note beside a snapshot that says what came of a drill."""

from __future__ import annotations

from raft_snapshot_agent.core.drill_note import DrillNote
from raft_snapshot_agent.core.snapshot import Sidecar, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import BytesSource


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
        text = await verification.small(destination.storage, Sidecar.DRILL.name_for(stored.name))
    except SnapshotNotFound:
        return ""
    except StorageError:
        return "unreadable"
    note = DrillNote.from_json(text, stored.name)
    if note is None:
        return "unreadable"
    keys = destination.keys
    return str(note) if keys is None or note.is_signed(keys) else "unsigned"
