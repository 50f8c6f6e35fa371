from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.drill_notes import (
    describe_drill,
    find_newest_drill,
    remember_drill,
)
from raft_snapshot_agent.destination.holdings import survey
from raft_snapshot_agent.errors import StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingStorage

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
NAMES = [f"raft-snapshot-2026112{day}T000000Z-i1-0a1b2c.snap" for day in (1, 2, 3)]
KEYS = SigningKeys(b"k" * 32)


def note(name: str) -> DrillNote:
    return DrillNote(name, passed=True, at="2026-11-23T10:00:00Z", seconds=9.0)


@pytest.fixture
async def destination() -> Destination:
    storage = MemoryStorage()
    for name in NAMES:
        await storage.put(name, BytesSource(b"abc"))
    return Destination("s3", storage, retention=Retention(last=1))


async def told(destination: Destination) -> list[str]:
    return [await describe_drill(destination, one) for one in await destination.stored()]


async def test_it_is_shown_of_its_snapshot_alone(destination: Destination) -> None:
    await remember_drill(destination, note(NAMES[1]))

    assert await told(destination) == ["", "passed 2026-11-23", ""]


async def test_with_a_key_only_a_signed_one_is_believed(destination: Destination) -> None:
    signing = replace(destination, signing=lambda: KEYS)
    await remember_drill(destination, note(NAMES[1]))
    await remember_drill(signing, note(NAMES[2]))

    assert await told(signing) == ["passed 2026-11-23", "unsigned", ""]


async def test_what_a_stranger_laid_there_is_told_as_such(destination: Destination) -> None:
    await destination.storage.put(f"{NAMES[0]}.drill", BytesSource(note(NAMES[1]).to_json()))
    await destination.storage.put(f"{NAMES[1]}.drill", BytesSource(b"x" * (2 << 20)))

    assert await told(destination) == ["", "unreadable", "unreadable"]


async def test_the_newest_that_can_be_believed_is_found(destination: Destination) -> None:
    signing = replace(destination, signing=lambda: KEYS)
    assert await find_newest_drill(signing, NOW) is None
    for name, at in ((NAMES[0], "2026-11-23T10:00:00Z"), (NAMES[1], "2026-11-22T10:00:00Z")):
        await remember_drill(signing, replace(note(name), at=at))
    await remember_drill(destination, replace(note(NAMES[2]), at="2026-11-23T11:00:00Z"))

    for now, expected in ((NOW, NAMES[0]), (NOW.replace(day=22), NAMES[1])):
        found = await find_newest_drill(signing, now)  # the unsigned one, and the future: no
        assert found is not None
        assert found.snapshot == expected


async def test_it_goes_with_its_snapshot(destination: Destination) -> None:
    for name in NAMES:
        await remember_drill(destination, note(name))

    await destination.prune(NOW)

    left = {entry.name for entry in await destination.storage.entries()}
    assert left == {NAMES[2], f"{NAMES[2]}.drill"}


async def test_a_static_name_has_none(destination: Destination) -> None:
    static = replace(destination, static_name="vault.snap")
    await remember_drill(static, note("vault.snap"))

    assert not [one for one in await static.storage.entries() if one.name.endswith(".drill")]


class Ailing(ForwardingStorage):
    """A storage that cannot read one of its objects."""

    def __init__(self, storage: Storage, unreadable: str) -> None:
        super().__init__(storage)
        self._unreadable = unreadable

    def read(self, name: str) -> AsyncIterator[bytes]:
        if name == self._unreadable:
            raise StorageUnavailable("it is down")
        return super().read(name)


def at(hour: int, name: str, *, passed: bool = True) -> DrillNote:
    return replace(note(name), at=f"2026-11-23T{hour:02}:00:00Z", passed=passed)


async def surveyed(destination: Destination) -> DrillNote | None:
    return (await survey(destination, await destination.stored(), NOW)).drill


async def test_a_look_at_a_storage_tells_the_last_drill_of_whichever_snapshot(
    destination: Destination,
) -> None:
    assert await surveyed(destination) is None
    await remember_drill(destination, at(9, NAMES[2]))
    await remember_drill(destination, at(11, NAMES[0], passed=False))

    assert await surveyed(destination) == at(11, NAMES[0], passed=False)


async def test_a_look_believes_no_stranger_and_no_note_from_the_future(
    destination: Destination,
) -> None:
    signing = replace(destination, signing=lambda: KEYS)
    await remember_drill(signing, at(9, NAMES[2]))
    await remember_drill(destination, at(10, NAMES[1]))
    await remember_drill(signing, at(23, NAMES[0]))

    found = await surveyed(signing)

    assert found is not None
    assert found.snapshot == NAMES[2]


async def test_a_note_that_cannot_be_read_costs_a_look_nothing_and_puts_off_the_next_drill(
    destination: Destination,
) -> None:
    await remember_drill(destination, at(9, NAMES[2]))
    await remember_drill(destination, at(10, NAMES[1]))
    ailing = replace(destination, storage=Ailing(destination.storage, f"{NAMES[1]}.drill"))

    assert await surveyed(ailing) == at(9, NAMES[2])
    with pytest.raises(StorageError):
        await find_newest_drill(ailing, NOW)


async def test_only_notes_of_the_newest_snapshots_are_read(destination: Destination) -> None:
    names = [f"raft-snapshot-20261122T00{minute:02}00Z-i1-0a1b2c.snap" for minute in range(40)]
    for name in names:
        await destination.storage.put(name, BytesSource(b"abc"))
        await remember_drill(destination, at(9, name))
    await remember_drill(destination, at(11, names[0]))
    newest = [at(9, name) for name in names[20:]]

    assert await find_newest_drill(destination, NOW) in newest
    assert await surveyed(destination) in newest
