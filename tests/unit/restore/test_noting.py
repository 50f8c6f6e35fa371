"""The note of a restore, and what a restore that changed nothing leaves of an earlier one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest
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


class Slow(MemoryStorage):
    """A storage of which two restores read the note before either has left its own."""

    def __init__(self) -> None:
        super().__init__()
        self._both = anyio.Event()
        self._reads = 0

    async def read(self, name: str) -> AsyncIterator[bytes]:
        self._reads += 1
        if self._reads == 2:
            self._both.set()
        if self._reads <= 2:
            await self._both.wait()
            raise SnapshotNotFound(name)
        async for piece in super().read(name):
            yield piece


@pytest.mark.parametrize("wins", [0, 1])
@pytest.mark.parametrize("first", ["refused", "accepted"])
async def test_of_two_restores_at_once_the_note_of_the_one_that_succeeds_stays(
    wins: int, first: str
) -> None:
    slow = Destination("slow", Slow(), signing=lambda: KEYS)
    two, wishes = [RestoreNotes((slow,)), RestoreNotes((slow,))], [FIRST, SECOND]
    async with anyio.create_task_group() as tasks:
        for notes, wish in zip(two, wishes, strict=True):
            tasks.start_soon(notes.leave, wish)

    if first == "refused":
        assert await two[1 - wins].take_back() == []
    assert await two[wins].keep(wishes[wins]) == []
    if first == "accepted":
        assert await two[1 - wins].take_back() == []

    note = Restored.from_json(await read(slow) or b"")
    assert note is not None
    assert note.snapshot == wishes[wins].snapshot


@pytest.mark.parametrize("wins", [0, 1])
async def test_of_two_restores_one_after_the_other_the_same(wins: int) -> None:
    place = opened("place")
    two, wishes = [RestoreNotes((place,)), RestoreNotes((place,))], [FIRST, SECOND]
    for notes, wish in zip(two, wishes, strict=True):
        await notes.leave(wish)

    assert await two[1 - wins].take_back() == []

    note = Restored.from_json(await read(place) or b"")
    assert note is not None
    assert note.snapshot == wishes[wins].snapshot


async def test_a_note_that_a_snapshot_used_up_during_the_upload_is_left_again() -> None:
    used, still = opened("used"), opened("still")
    notes = RestoreNotes((used, still))
    await notes.leave(FIRST)
    own = await read(still)
    await used.storage.delete(RESTORED_NAME)

    later = replace(FIRST, at="2026-11-26T11:35:00Z")
    assert await notes.keep(later) == []

    note = Restored.from_json(await read(used) or b"")
    assert note is not None
    assert note.at == later.at
    assert await read(still) == own


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
