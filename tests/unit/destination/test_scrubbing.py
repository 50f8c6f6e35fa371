"""One turn on a storage: what is rotten, what is gone, and what is neither."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.restore.test_copying import (
    KEYS,
    NOW,
    Recording,
    archive,
    manifest,
    named,
    place,
    store,
)

from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.notes import SCRUB_NAME
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.scrubbing import ScrubResult, read_scrub_note, scrub
from raft_snapshot_agent.errors import StorageDenied, StorageUnavailable
from raft_snapshot_agent.storage.base import BytesSource, Entry

DAY = timedelta(days=1)


async def at_once() -> None:
    await anyio.lowlevel.checkpoint()


async def turn(
    destination: Destination, count: int = 1, now: datetime = NOW, before: ScrubNote | None = None
) -> ScrubResult:
    return await scrub(destination, before or ScrubNote(), count, lambda: now, at_once)


async def full(count: int = 3, **more: Any) -> Destination:
    made = place("disk", **more)
    for hours in range(count):
        await store(made, hours)
    return made


async def replace_with(destination: Destination, hours: int, content: bytes) -> None:
    await destination.storage.put(named(hours), BytesSource(content))


async def test_each_is_read_in_turn_and_it_is_noted_when() -> None:
    destination = await full()

    for day, hours in enumerate((2, 1, 0, 2)):
        done = await turn(destination, now=NOW + day * DAY)
        assert (done.read, done.rotten, done.troubles) == ((named(hours),), (), ())
    note = await read_scrub_note(destination, NOW + 9 * DAY)

    assert note.readings == {
        named(2): LastReading(NOW + 3 * DAY),
        named(1): LastReading(NOW + DAY),
        named(0): LastReading(NOW + 2 * DAY),
    }
    assert note.looked_at == NOW + 3 * DAY


@pytest.mark.parametrize("content", [archive(0)[:-9], None])
async def test_a_static_name_is_stored_anew_as_none_can_be_copied_to_it(
    content: bytes | None,
) -> None:
    destination = await full(1, static_name=named(0))
    if content is None:
        await destination.storage.delete(named(0))
    else:
        await replace_with(destination, 0, content)

    (line,) = (await turn(destination)).rotten

    assert "raft-snapshot-agent save --storage disk" in line
    assert "raft-snapshot-agent copy" not in line


@pytest.mark.parametrize("keys", [None, KEYS])
@pytest.mark.parametrize("static_name", [None, named(1)])
async def test_a_later_reading_that_finds_it_whole_ends_it(
    keys: SigningKeys | None, static_name: str | None
) -> None:
    destination = await full(
        static_name=static_name, signing=None if keys is None else lambda: keys
    )
    note = ScrubNote({named(1): LastReading(NOW, "broken"), named(2): LastReading(NOW)}, (), NOW)
    await destination.storage.put(destination.notes.scrub, BytesSource(note.to_json(keys)))
    later = NOW + DAY
    (one,) = (one for one in await destination.stored() if one.name == named(1))

    verdicts = destination.verdicts
    await verdicts.remember(one, await verdicts.judge(one), later)

    told = await read_scrub_note(destination, later)
    assert told.readings == {named(1): LastReading(later), named(2): LastReading(NOW)}
    assert note.merged(told).rotten == (), "nor for an agent that remembers what it read"


@pytest.mark.parametrize(
    ("content", "state", "words", "mend"),
    [
        (archive(1)[:-9], "broken", "is corrupted: ", "(check the disk or bucket; "),
        (archive(1)[:-500] + bytes(500), "broken", "is corrupted: ", "(check the disk or bucket; "),
        (archive(7), "mismatch", "was exchanged: it is whole", "delete it in the storage, then: "),
    ],
)
async def test_what_is_rotten_is_an_alarm_until_it_is_whole_or_gone(
    content: bytes, state: str, words: str, mend: str
) -> None:
    destination = await full()
    await replace_with(destination, 1, content)

    done = await turn(destination, 3)

    (line,) = done.rotten
    assert line.startswith(f"disk: {named(1)} {words}")
    assert mend in line
    assert done.note.readings[named(1)].state == state
    again = await turn(destination, now=NOW + DAY)
    assert again.read[0] == named(1), "it is read again, beside the next"
    assert again.rotten == done.rotten, "the same words while it lasts"
    await replace_with(destination, 1, archive(1))
    assert (await turn(destination, now=NOW + 2 * DAY)).rotten == ()
    await replace_with(destination, 1, content)
    assert (await turn(destination, 3, now=NOW + 3 * DAY)).rotten != ()
    for name in (named(1), manifest_name(named(1))):
        await destination.storage.delete(name)
    assert (await turn(destination, now=NOW + 4 * DAY)).rotten == ()


async def test_what_it_advises_names_the_cluster() -> None:
    destination = replace(await full(), cluster="prod")
    await replace_with(destination, 1, archive(1)[:-9])

    (line,) = (await turn(destination, 3)).rotten
    assert line.endswith("--from OTHER_STORAGE --to disk --cluster prod)")


async def test_what_it_finds_deletes_nothing() -> None:
    destination = await full(5, retention=Retention(last=5))
    for hours in range(5):
        await replace_with(destination, hours, archive(hours)[:-9])
    assert len((await turn(destination, 9)).rotten) == 5

    await destination.prune(NOW, dry_run=False)

    assert len([one for one in await destination.storage.entries() if one.size]) >= 10
    assert len(await destination.stored()) == 5


async def test_a_note_of_a_strangers_deletes_nothing() -> None:
    """Whatever it says: rotten, gone, or never to be read again."""
    destination = await full(5, retention=Retention(last=5))
    forged = ScrubNote(
        {named(hours): LastReading(NOW, "broken") for hours in range(5)}, (named(1),), NOW
    )
    await destination.storage.put(SCRUB_NAME, BytesSource(forged.to_json(None)))

    pruned = await destination.prune(NOW)

    assert (pruned.deleted, pruned.reviews) == ((), 0)
    assert len((await turn(destination)).rotten) == 2, "three are read at a time"
    assert (await turn(destination)).rotten == (), "they were read"


async def test_what_is_gone_while_its_manifest_is_there_has_vanished() -> None:
    destination = await full()
    await destination.storage.delete(named(1))

    done = await turn(destination)

    (line,) = done.rotten
    assert line.startswith(f"disk: {named(1)} is missing: ")
    assert (await read_scrub_note(destination, NOW)).vanished == (named(1),)
    await destination.storage.delete(manifest_name(named(1)))
    assert (await turn(destination)).rotten == ()
    await destination.storage.put("notes.json", BytesSource(b"{}"))
    assert (await turn(destination)).rotten == (), "what is not ours has not vanished"


async def test_what_is_deleted_while_it_is_listed_has_not_vanished() -> None:
    class Between(Recording):
        """Lists a manifest whose snapshot is being deleted just then."""

        first = True

        async def entries(self) -> list[Entry]:
            found = await super().entries()
            if self.first:
                self.first = False
                return [*found, Entry(manifest_name(named(9)), 700)]
            return found

    assert (await turn(await full(storage=Between()))).rotten == ()


async def test_what_is_pruned_while_it_is_read_is_not_rotten() -> None:
    class Pruning(Recording):
        async def read(self, name: str) -> AsyncIterator[bytes]:
            if name == named(2):
                await self.delete(name)
                await self.delete(manifest_name(name))
            async for piece in super().read(name):
                yield piece

    done = await turn(await full(storage=Pruning()))

    assert (done.rotten, done.troubles) == ((), ())


class Flaky(MemoryStorage):
    """A store that is there and does not give everything."""

    refusal: Exception | None = None
    refused = ".snap"

    async def read(self, name: str) -> AsyncIterator[bytes]:
        if self.refusal is not None and name.endswith(self.refused):
            raise self.refusal
        async for piece in super().read(name):
            yield piece


async def test_a_store_that_is_down_is_not_rotten() -> None:
    storage = Flaky()
    destination = await full(storage=storage)
    storage.refusal = StorageUnavailable("it is down")

    done = await turn(destination)

    assert done.rotten == ()
    assert done.troubles == (f"disk: {named(2)} could not be read back: it is down",)
    assert done.note.readings == {}, "it is read in the next turn"


async def test_a_note_that_may_not_be_read_or_written_stops_nothing() -> None:
    class WriteOnce(Flaky):
        async def put(self, name: str, source: Any) -> int:
            if name == SCRUB_NAME:
                raise StorageDenied("nothing may be replaced")
            return await super().put(name, source)

    storage = WriteOnce()
    destination = await full(storage=storage)
    storage.refusal, storage.refused = StorageDenied("no"), SCRUB_NAME

    first = await turn(destination)
    second = await turn(destination, now=NOW + DAY, before=first.note)

    assert (*first.read, *second.read) == (named(2), named(1)), "the agent itself remembers"
    assert first.troubles == second.troubles
    assert "could not be stored: nothing may be replaced" in first.troubles[0]


async def test_with_a_key_the_note_is_signed_and_others_are_not_believed() -> None:
    keys = SigningKeys(b"k" * 32)
    destination = await full(signing=lambda: keys)
    forged = ScrubNote({named(hours): LastReading(NOW) for hours in range(3)}, (), NOW)
    await destination.storage.put(SCRUB_NAME, BytesSource(forged.to_json(None)))

    assert (await turn(destination)).read == (named(2),)

    note = await read_scrub_note(destination, NOW)
    assert [*note.readings] == [named(2)]
    assert await read_scrub_note(replace(destination, signing=None), NOW) == note


async def test_a_static_name_is_read_like_any_other() -> None:
    destination = replace(place("disk"), static_name="latest.snap")
    content = archive(1)
    described = replace(manifest(named(1), content), snapshot="latest.snap")
    await destination.storage.put("latest.snap", BytesSource(content))
    await destination.storage.put("latest.snap.json", BytesSource(described.to_json()))

    assert (await turn(destination)).read == ("latest.snap",)
    await destination.storage.put("latest.snap", BytesSource(archive(2)))
    assert len((await turn(destination)).rotten) == 1
    await destination.storage.delete("latest.snap")
    assert "is missing" in (await turn(destination)).rotten[0]


async def test_it_waits_before_each_piece_while_something_else_wants_the_storage() -> None:
    content = archive(1)
    turns: list[str] = []

    class Small(MemoryStorage):
        async def read(self, name: str) -> AsyncIterator[bytes]:
            async for piece in super().read(name):
                if name != named(1):
                    yield piece
                    continue
                for start in range(0, len(piece), 1000):
                    turns.append("piece")
                    yield piece[start : start + 1000]

    destination = place("disk", Small())
    await store(destination, 1)

    async def wait() -> None:
        turns.append("wait")

    await scrub(destination, ScrubNote(), 1, lambda: NOW, wait)

    pieces = [at for at, what in enumerate(turns) if what == "piece"]
    assert len(pieces) == len(range(0, len(content), 1000))
    assert {turns[at - 1] for at in pieces} == {"wait"}
    assert turns[0] == turns[-1] == "wait", "nor is it listed or written to before"


async def test_the_note_is_no_snapshot_and_nothing_that_is_swept() -> None:
    destination = await full()
    await turn(destination)
    await destination.sweep(frozenset({"0a1b2c"}))

    assert len(await destination.stored()) == 3
    names = [one.name for one in await destination.storage.entries()]
    assert SCRUB_NAME in names
    text = b"".join([piece async for piece in destination.storage.read(SCRUB_NAME)])
    assert json.loads(text)["read"] == {named(2): ["2024-11-23T15:30:00Z", "whole"]}
