"""The note of a restore, and what a restore that changed nothing leaves of an earlier one."""

from __future__ import annotations

from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.core.snapshots.notes import RESTORED_NAME, Restored
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.sidecars import read_small
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.restore.noting import RestoreNotes

FIRST = Restored("first.snap", "2026-11-26T11:30:00Z", "c", 20, 3)
SECOND = Restored("second.snap", "2026-11-26T11:40:00Z", "d", 30, 4)
KEYS = SigningKeys(b"k" * 32)


def opened(name: str) -> Destination:
    return Destination(name, MemoryStorage(), signing=lambda: KEYS)


async def read(destination: Destination) -> bytes | None:
    try:
        return await read_small(destination.storage, RESTORED_NAME)
    except SnapshotNotFound:
        return None


async def test_a_note_that_is_taken_back_leaves_the_one_that_was_there() -> None:
    noted, empty = opened("noted"), opened("empty")
    await noted.expect(FIRST)
    before = await read(noted)
    notes = RestoreNotes((noted, empty))

    assert await notes.leave(SECOND) == []
    for destination in (noted, empty):
        note = Restored.from_json(await read(destination) or b"")
        assert note is not None
        assert note.snapshot == "second.snap"
    assert await notes.take_back() == []

    assert before is not None
    assert (await read(noted), await read(empty)) == (before, None)


async def test_what_was_not_left_is_not_taken_back() -> None:
    """The restore may end before all storages have its note, or before any has."""
    first, second = opened("first"), opened("second")
    for destination in (first, second):
        await destination.expect(FIRST)
    before = await read(first), await read(second)

    assert await RestoreNotes((first, second)).take_back() == []

    assert (await read(first), await read(second)) == before


async def test_a_storage_that_does_not_tell_its_note_is_named() -> None:
    class Silent(MemoryStorage):
        def read(self, name: str):  # type: ignore[no-untyped-def]
            raise StorageError(f"cannot read {name}")

    silent, other = Destination("silent", Silent()), opened("other")
    notes = RestoreNotes((silent, other))

    (trouble,) = await notes.leave(FIRST)
    assert trouble.startswith("silent: cannot store a note of the restore: cannot read")
    assert await read(other) is not None

    assert await notes.take_back() == []
    assert await read(other) is None


async def test_a_storage_whose_snapshots_are_not_compared_gets_none() -> None:
    written = Destination("written", MemoryStorage(), prunes=False)
    assert await RestoreNotes((written,)).leave(FIRST) == []
    assert await read(written) is None
