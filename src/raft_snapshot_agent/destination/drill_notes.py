"""The note beside a snapshot with the result of a drill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import anyio

from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.snapshot import AHEAD, Sidecar, Stored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.sidecars import read_small
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import BytesSource

_LOOKED_AT = 20
"""Maximum notes to read, of the newest snapshots, to find the last drill."""


async def remember_drill(destination: Destination, note: DrillNote) -> None:
    """Store the note of a drill beside its snapshot.

    A snapshot with a static name gets none, as the next one may replace it at any time.

    Raises:
        StorageError: It cannot be written.
        ConfigError: The key to sign it with is missing.
    """
    if destination.static_name is None:
        text = note.sign(destination.keys).to_json()
        await destination.storage.put(Sidecar.DRILL.name_for(note.snapshot), BytesSource(text))


async def describe_drill(destination: Destination, stored: Stored) -> str:
    """Return the result of a snapshot's drill in a few words; empty if there was none."""
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
    """Return the newest valid note of a drill in this storage.

    A note from the future is not valid: it would postpone the next drill for ever.

    Raises:
        StorageError: The storage cannot be listed or read.
    """
    notes, troubles = await _read_newest(destination, await destination.stored())
    if troubles:
        raise troubles[0]
    return _choose_newest(destination, notes, now)


async def read_newest_drill(
    destination: Destination, stored: Sequence[Stored], now: datetime
) -> DrillNote | None:
    """Return the note of the last drill; ignore notes that cannot be read or are not valid.

    Arguments:
        destination: The storage.
        stored: Its snapshots, newest first.
        now: The present time.
    """
    notes, _ = await _read_newest(destination, stored)
    return _choose_newest(destination, notes, now)


async def _read_newest(
    destination: Destination, stored: Sequence[Stored]
) -> tuple[list[DrillNote], list[StorageError]]:
    """Read the notes of the newest snapshots; return the notes and the errors."""
    notes: list[DrillNote] = []
    troubles: list[StorageError] = []

    async def read_one(one: Stored) -> None:
        try:
            if (note := await _read(destination, one)) is not None:
                notes.append(note)
        except SnapshotNotFound:
            pass  # pruned in the meantime
        except StorageError as error:
            troubles.append(error)

    async with anyio.create_task_group() as tasks:
        for one in [one for one in stored if one.drilled][:_LOOKED_AT]:
            tasks.start_soon(read_one, one)
    return notes, troubles


def _choose_newest(
    destination: Destination, notes: Sequence[DrillNote], now: datetime
) -> DrillNote | None:
    """Return the last valid note; one from the future is not valid."""
    dated = [
        (note.began, note)
        for note in notes
        if note.began and note.began <= now + AHEAD and _is_believed(destination, note)
    ]
    return max(dated, key=lambda pair: pair[0], default=(now, None))[1]


async def _read(destination: Destination, stored: Stored) -> DrillNote | None:
    name = Sidecar.DRILL.name_for(stored.name)
    return DrillNote.from_json(await read_small(destination.storage, name), stored.name)


def _is_believed(destination: Destination, note: DrillNote) -> bool:
    keys = destination.keys
    return keys is None or note.is_signed(keys)
