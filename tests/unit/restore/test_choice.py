"""Which snapshot is meant, and what is told where a storage does not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adversary.history import KEYS
from tests.choosing import choose_named, choose_newest
from tests.stores.memory import MemoryStorage
from tests.unit.core import archives
from tests.unit.core.archives import members, meta, packed, tar
from tests.unit.restore.test_reader import NEW, OLD, WHOLE, Down, agreeing, destination

from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import SAFETY
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import (
    MismatchedSnapshot,
    SnapshotNotFound,
    StorageDenied,
    StorageFaults,
    StorageUnavailable,
)
from raft_snapshot_agent.restore.choice import InFile, Named, Newest, Wanted, choose
from raft_snapshot_agent.restore.reader import FileReader, StoredReader
from raft_snapshot_agent.storage.base import BytesSource, Entry

BETWEEN, AFTER = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)


def of(reader: StoredReader) -> tuple[str, str]:
    return reader.destination.name, reader.stored.name


async def test_the_newest_of_all_storages_is_taken() -> None:
    destinations = [
        await destination("a", old=WHOLE),
        await destination("b", new=WHOLE),
        await destination("c"),
    ]

    assert of(await choose_newest(destinations)) == ("b", NEW)


async def test_a_verified_one_goes_before_a_newer_that_is_not() -> None:
    destinations = [await destination("a", new=WHOLE), await destination("b", ("old",), old=WHOLE)]

    assert of(await choose_newest(destinations)) == ("b", OLD)


async def test_of_two_copies_the_first_storages_is_taken() -> None:
    destinations = [
        await destination("a", ("new",), new=WHOLE),
        await destination("b", ("new",), new=WHOLE),
    ]

    assert of(await choose_newest(destinations)) == ("a", NEW)


async def test_an_empty_one_is_never_the_newest() -> None:
    assert of(await choose_newest([await destination("a", old=WHOLE, new=b"")])) == ("a", OLD)


async def test_a_storage_that_is_down_does_not_hide_the_others() -> None:
    destinations = [Destination("down", Down()), await destination("up", new=WHOLE)]

    assert of(await choose_newest(destinations)) == ("up", NEW)
    assert of(await choose_named(destinations, NEW)) == ("up", NEW)


@pytest.mark.parametrize("wanted", [Newest(), Named(NEW)])
async def test_a_storage_that_is_down_is_the_reason_where_nothing_is_found(
    wanted: Wanted,
) -> None:
    with pytest.raises(StorageFaults, match=r"^down: no entry$"):
        await choose([Destination("down", Down()), await destination()], wanted, AFTER)
    with pytest.raises(StorageDenied, match=r"^no entry$"):
        await choose([Destination("the only one", Down())], wanted, AFTER)


@pytest.mark.parametrize(("wanted", "words"), [(Newest(), "no storage holds"), (Named(NEW), NEW)])
async def test_nothing_found_is_told(wanted: Wanted, words: str) -> None:
    with pytest.raises(SnapshotNotFound, match=words):
        await choose([await destination()], wanted, AFTER)


async def test_a_name_is_looked_up_in_the_storages_in_order() -> None:
    destinations = [
        await destination("a"),
        await destination("b", old=WHOLE),
        await destination("c", old=WHOLE),
    ]

    assert of(await choose_named(destinations, OLD)) == ("b", OLD)


async def test_a_name_that_is_missing_costs_one_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    place = await destination(new=WHOLE)
    listings, entries = [], place.storage.entries

    async def count() -> Sequence[Entry]:
        listings.append(place.name)
        return await entries()

    monkeypatch.setattr(place.storage, "entries", count)

    with pytest.raises(SnapshotNotFound) as raised:
        await choose_named([place], NEW.replace("i4711", "i4712"))

    assert f"nearest: {NEW}" in raised.value.hint
    assert len(listings) == 1


@pytest.mark.parametrize("path", [Path("here.snap"), None])
async def test_a_file_is_looked_up_in_no_storage(path: Path | None) -> None:
    choice = await choose([Destination("down", Down())], InFile(path), AFTER)

    assert choice.reader == FileReader(path)


# The newest, of now or of another time.


async def add(storage: MemoryStorage, name: str, *, signed: bool, purpose: str = "") -> None:
    """Store a snapshot with a manifest that agrees with it."""
    told = replace(agreeing(name), sha256=name.encode().hex(), purpose=purpose)
    await storage.put(name, BytesSource(WHOLE))
    beside = KEYS.sign(told) if signed else told
    await storage.put(manifest_name(name), BytesSource(beside.to_json()))


@pytest.mark.parametrize("when", [None, AFTER])
async def test_with_a_key_the_newest_signed_one_is_meant(when: datetime | None) -> None:
    storage = MemoryStorage()
    await add(storage, OLD, signed=True)
    await add(storage, NEW, signed=False)
    places = [Destination("memory", storage, signing=lambda: KEYS)]

    assert of(await choose_newest(places, when)) == ("memory", OLD)


@pytest.mark.parametrize("when", [None, AFTER])
async def test_a_safety_snapshot_is_never_meant(when: datetime | None) -> None:
    storage = MemoryStorage()
    await add(storage, OLD, signed=False)
    await add(storage, NEW, signed=False, purpose=SAFETY)

    assert of(await choose_newest([Destination("memory", storage)], when))[1] == OLD


async def test_at_a_time_it_is_the_newest_up_to_then() -> None:
    both = [await destination("a", ("old", "new"), old=WHOLE, new=WHOLE + b"x")]

    assert of(await choose_newest(both, BETWEEN)) == ("a", OLD)
    with pytest.raises(SnapshotNotFound, match="no snapshot was taken at 2026-11-20T00:00:00Z"):
        await choose_newest(both, datetime(2026, 11, 20, tzinfo=UTC))


@pytest.mark.parametrize("when", [None, AFTER])
async def test_an_archive_of_another_day_is_refused(when: datetime | None) -> None:
    found = await choose_newest([await destination(new=WHOLE)], when)
    written = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
    other = archives.verified(packed(tar(members(meta()), written)))

    with pytest.raises(MismatchedSnapshot, match="its server wrote it at 2025-01-01T00:00:00Z"):
        found.confirm(other)


async def test_where_none_of_a_time_can_be_believed_that_is_told() -> None:
    storage = MemoryStorage()
    await storage.put(OLD, BytesSource(WHOLE))
    await storage.put(manifest_name(OLD), BytesSource(agreeing(NEW).to_json()))

    words = "none of the 1 snapshots that are from 2026-11-23T00:00:00Z or before"
    with pytest.raises(SnapshotNotFound, match=words):
        await choose_newest([Destination("memory", storage)], BETWEEN)


# Storages that cannot be listed.


@pytest.mark.parametrize("when", [None, AFTER])
async def test_a_storage_that_may_hold_a_newer_one_is_told(when: datetime | None) -> None:
    places = [await destination("local", old=WHOLE), Destination("s3", Down())]

    choice = await choose(places, Newest(when), AFTER)

    assert choice.reader.label == f"memory:{OLD}"
    assert [*map(str, choice.missed)] == [
        "s3 cannot be listed and may hold a newer snapshot: no entry"
    ]


async def test_a_storage_that_is_down_is_the_reason_where_all_are_safety_snapshots() -> None:
    storage = MemoryStorage()
    await add(storage, NEW, signed=False, purpose=SAFETY)

    with pytest.raises(SnapshotNotFound, match="all that is stored are safety snapshots"):
        await choose_newest([Destination("local", storage)])
    with pytest.raises(StorageFaults, match=r"^s3: no entry$"):
        await choose_newest([Destination("local", storage), Destination("s3", Down())])


async def test_a_name_waits_for_no_other_storage() -> None:
    places = [Destination("s3", Down()), await destination("local", old=WHOLE)]

    choice = await choose(places, Named(OLD), AFTER)

    assert choice.reader.label == f"memory:{OLD}"
    assert choice.missed == ()


@pytest.mark.parametrize("wanted", [Newest(), Named(NEW)])
async def test_each_storage_that_failed_has_its_line(wanted: Wanted) -> None:
    places = [Destination("s3", Down()), Destination("gcs", Down())]

    with pytest.raises(StorageFaults) as raised:
        await choose(places, wanted, AFTER)

    assert raised.value.lines == ("s3: no entry", "gcs: no entry")
    assert raised.value.exit_code == 2


# Manifests that cannot be read.


class Mute(MemoryStorage):
    """A storage that does not answer for some of its objects."""

    def __init__(self, silent: Callable[[str], bool]) -> None:
        super().__init__()
        self.silent = silent
        self.asked: list[str] = []

    async def read(self, name: str) -> AsyncIterator[bytes]:
        self.asked.append(name)
        if self.silent(name):
            raise StorageUnavailable(f"cannot read {name}: no answer")
        async for piece in super().read(name):
            yield piece


def hourly(number: int) -> list[str]:
    """Names of snapshots of the hours up to now, newest first."""
    return [
        AGENT.name(AGENT.run(AFTER - timedelta(hours=one), "0a1b2c"), 5000 - one)
        for one in range(1, number + 1)
    ]


async def muted(*silent: str, **signed: bool) -> Destination:
    """A storage with thirty snapshots, without the manifests of some."""
    storage = Mute(lambda name: name in {manifest_name(one) for one in silent})
    for name in hourly(30):
        await add(storage, name, signed=signed.get("signed", False))
    return Destination("s3", storage, signing=(lambda: KEYS) if signed else None)


async def test_a_manifest_that_would_change_nothing_may_stay_unread() -> None:
    names = hourly(30)
    places = [await muted(names[-1]), await destination("archive", ("old",), old=WHOLE)]

    choice = await choose(places, Newest(), AFTER)

    assert choice.reader.label == f"memory:{names[0]}"
    assert choice.missed == ()


@pytest.mark.parametrize("signed", [True, False])
async def test_one_that_may_be_the_newest_is_told(signed: bool) -> None:
    names = hourly(30)
    place = await (muted(names[0], names[1], signed=True) if signed else muted(*names[:2]))

    choice = await choose([place], Newest(), AFTER)

    assert choice.reader.label == f"memory:{names[2]}"
    (missed,) = choice.missed
    words = f"s3: the manifest of {names[0]} cannot be read, and it may be the one to choose: "
    assert str(missed) == f"{words}cannot read {manifest_name(names[0])}: no answer"


async def test_a_storage_that_reads_nothing_is_not_asked_for_each() -> None:
    place = await muted(*hourly(30))

    choice = await choose([place], Newest(), AFTER)

    assert choice.reader.label == f"memory:{hourly(1)[0]}"
    assert len(choice.missed) == 1
    assert isinstance(place.storage, Mute)
    assert len(place.storage.asked) == 8


# More than are judged at once.


async def test_a_new_key_changes_nothing_for_a_long_history() -> None:
    storage = MemoryStorage()
    for name in hourly(310):
        await add(storage, name, signed=False)
    place = Destination("s3", storage, signing=lambda: KEYS)

    assert (await choose_newest([place], AFTER)).stored.name == hourly(1)[0]


async def test_a_flood_of_forged_ones_hides_no_signed_one() -> None:
    storage = MemoryStorage()
    names = hourly(310)
    for name in names[:-1]:
        await add(storage, name, signed=False)
    signed = KEYS.sign(replace(agreeing(names[-1]), known="."))
    await storage.put(names[-1], BytesSource(WHOLE))
    await storage.put(manifest_name(names[-1]), BytesSource(signed.to_json()))
    place = Destination("s3", storage, signing=lambda: KEYS)

    assert (await choose_newest([place], AFTER)).stored.name == names[-1]
