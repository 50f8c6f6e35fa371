"""The note beside a snapshot that says what came of a drill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import anyio

from raft_snapshot_agent.core.history.proof import AHEAD
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar, Stored
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
    notes, troubles = await _read_newest(destination, await destination.stored())
    if troubles:
        raise troubles[0]
    return _choose_newest(destination, notes, now)


async def read_newest_drill(
    destination: Destination, stored: Sequence[Stored], now: datetime
) -> DrillNote | None:
    """Return what is noted of the last drill here; what cannot be read or believed tells nothing.

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
    """Read the notes of the newest snapshots that have one, and say what could not be read."""
    notes: list[DrillNote] = []
    troubles: list[StorageError] = []

    async def read_one(one: Stored) -> None:
        try:
            if (note := await _read(destination, one)) is not None:
                notes.append(note)
        except SnapshotNotFound:
            pass  # it was pruned meanwhile
        except StorageError as error:
            troubles.append(error)

    async with anyio.create_task_group() as tasks:
        for one in [one for one in stored if one.drilled][:_LOOKED_AT]:
            tasks.start_soon(read_one, one)
    return notes, troubles


def _choose_newest(
    destination: Destination, notes: Sequence[DrillNote], now: datetime
) -> DrillNote | None:
    """Return the last that can be believed; one from the future cannot."""
    dated = [
        (note.began, note)
        for note in notes
        if note.began and note.began <= now + AHEAD and _is_believed(destination, note)
    ]
    return max(dated, key=lambda pair: pair[0], default=(now, None))[1]


async def _read(destination: Destination, stored: Stored) -> DrillNote | None:
    name = Sidecar.DRILL.name_for(stored.name)
    return DrillNote.from_json(await verification.small(destination.storage, name), stored.name)


def _is_believed(destination: Destination, note: DrillNote) -> bool:
    keys = destination.keys
    return keys is None or note.is_signed(keys)
