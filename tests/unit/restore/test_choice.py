"""Which snapshot is meant, and what is told where a storage does not answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.adversary.history import KEYS
from tests.stores.memory import MemoryStorage
from tests.unit.core import archives
from tests.unit.core.archives import members, meta, packed, tar
from tests.unit.restore.test_reader import NEW, OLD, WHOLE, Down, agreeing, destination

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import SAFETY
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import (
    MismatchedSnapshot,
    SnapshotNotFound,
    StorageDenied,
    StorageFaults,
)
from raft_snapshot_agent.restore.at_time import choose_at
from raft_snapshot_agent.restore.choice import Unlisted, choose, find_newest
from raft_snapshot_agent.restore.reader import FileReader, StoredReader
from raft_snapshot_agent.storage.base import BytesSource

BETWEEN, AFTER = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)


def of(reader: object) -> tuple[str, str]:
    assert isinstance(reader, StoredReader)
    return reader.destination.name, reader.stored.name


async def test_the_newest_of_all_storages_is_taken() -> None:
    destinations = [
        await destination("a", old=WHOLE),
        await destination("b", new=WHOLE),
        await destination("c"),
    ]

    assert of(await choose(destinations, None)) == ("b", NEW)


async def test_a_verified_one_goes_before_a_newer_that_is_not() -> None:
    destinations = [await destination("a", new=WHOLE), await destination("b", ("old",), old=WHOLE)]

    assert of(await choose(destinations, None)) == ("b", OLD)


async def test_of_two_copies_the_first_storages_is_taken() -> None:
    destinations = [
        await destination("a", ("new",), new=WHOLE),
        await destination("b", ("new",), new=WHOLE),
    ]

    assert of(await choose(destinations, None)) == ("a", NEW)


async def test_an_empty_one_is_never_the_newest() -> None:
    assert of(await choose([await destination("a", old=WHOLE, new=b"")], None)) == ("a", OLD)


async def test_a_storage_that_is_down_does_not_hide_the_others() -> None:
    destinations = [Destination("down", Down()), await destination("up", new=WHOLE)]

    assert of(await choose(destinations, None)) == ("up", NEW)
    assert of(await choose(destinations, NEW)) == ("up", NEW)


@pytest.mark.parametrize("wanted", [None, NEW])
async def test_a_storage_that_is_down_is_the_reason_where_nothing_is_found(
    wanted: str | None,
) -> None:
    with pytest.raises(StorageDenied):
        await choose([Destination("down", Down()), await destination()], wanted)


@pytest.mark.parametrize(("wanted", "words"), [(None, "no storage holds"), (NEW, NEW)])
async def test_nothing_found_is_told(wanted: str | None, words: str) -> None:
    with pytest.raises(SnapshotNotFound, match=words):
        await choose([await destination()], wanted)


async def test_a_name_is_looked_up_in_the_storages_in_order() -> None:
    destinations = [
        await destination("a"),
        await destination("b", old=WHOLE),
        await destination("c", old=WHOLE),
    ]

    assert of(await choose(destinations, OLD)) == ("b", OLD)


@pytest.mark.parametrize("wanted", ["here.snap", "./here.snap", "../here.snap", "/here.snap"])
async def test_a_path_or_a_file_that_is_there_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.snap").write_bytes(b"")

    assert await choose([], wanted) == FileReader(Path(wanted))


async def test_a_dash_is_standard_input() -> None:
    assert await choose([], "-") == FileReader(None)


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

    (found,) = await find_newest(places, when)

    assert found.stored.name == OLD


@pytest.mark.parametrize("when", [None, AFTER])
async def test_a_safety_snapshot_is_never_meant(when: datetime | None) -> None:
    storage = MemoryStorage()
    await add(storage, OLD, signed=False)
    await add(storage, NEW, signed=False, purpose=SAFETY)

    assert of((await find_newest([Destination("memory", storage)], when))[0])[1] == OLD


async def test_at_a_time_it_is_the_newest_up_to_then() -> None:
    both = [await destination("a", ("old", "new"), old=WHOLE, new=WHOLE + b"x")]

    assert of(await choose_at(both, BETWEEN)) == ("a", OLD)
    with pytest.raises(SnapshotNotFound, match="no snapshot was taken at 2026-11-20T00:00:00Z"):
        await choose_at(both, datetime(2026, 11, 20, tzinfo=UTC))


@pytest.mark.parametrize("when", [None, AFTER])
async def test_an_archive_of_another_day_is_refused(when: datetime | None) -> None:
    (found,) = await find_newest([await destination(new=WHOLE)], when)
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
        await choose_at([Destination("memory", storage)], BETWEEN)


# Storages that cannot be listed.


@pytest.mark.parametrize("when", [None, AFTER])
async def test_a_storage_that_may_hold_a_newer_one_is_told(when: datetime | None) -> None:
    told: list[Unlisted] = []
    places = [await destination("local", old=WHOLE), Destination("s3", Down())]

    (found,) = await find_newest(places, when, told.extend)

    assert of(found) == ("local", OLD)
    assert [*map(str, told)] == ["s3 cannot be listed and may hold a newer snapshot: no entry"]


async def test_a_storage_that_is_down_is_the_reason_where_all_are_safety_snapshots() -> None:
    storage = MemoryStorage()
    await add(storage, NEW, signed=False, purpose=SAFETY)

    with pytest.raises(SnapshotNotFound, match="all that is stored are safety snapshots"):
        await find_newest([Destination("local", storage)], None)
    with pytest.raises(StorageDenied):
        await find_newest([Destination("local", storage), Destination("s3", Down())], None)


async def test_a_name_waits_for_no_other_storage() -> None:
    def fail(_: object) -> None:
        raise AssertionError

    places = [Destination("s3", Down()), await destination("local", old=WHOLE)]
    assert of(await choose(places, OLD, fail)) == ("local", OLD)


@pytest.mark.parametrize("wanted", [None, NEW])
async def test_each_storage_that_failed_has_its_line(wanted: str | None) -> None:
    places = [Destination("s3", Down()), Destination("gcs", Down())]

    with pytest.raises(StorageFaults) as raised:
        await choose(places, wanted)

    assert raised.value.lines == ("s3: no entry", "gcs: no entry")
    assert raised.value.exit_code == 2
