"""A storage that is filled from another: whole, complete, and taken for no attack."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.core import archives

from raft_snapshot_agent.core.history.flood import Pace
from raft_snapshot_agent.core.history.proof import write_known
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name, parse
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.scrubbing import read_scrub_note
from raft_snapshot_agent.errors import StorageUnavailable, VerificationError
from raft_snapshot_agent.restore.copying import Copying, CopyResult, CopyState
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.storage.base import BytesSource, UploadSource
from raft_snapshot_agent.storage.local.local import LocalStorage

NOW = datetime(2024, 11, 23, 15, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEYS = SigningKeys(b"k" * 32)


class Recording(MemoryStorage):
    """Remembers in which order objects came, and fails where it is told to."""

    def __init__(self, failing: Iterable[str] = ()) -> None:
        super().__init__()
        self.put_names: list[str] = []
        self.failing = set(failing)

    async def put(self, name: str, source: UploadSource) -> int:
        if name in self.failing:
            raise StorageUnavailable("it is down")
        self.put_names.append(name)
        return await super().put(name, source)

    def texts(self) -> dict[str, bytes]:
        return dict(self._objects)


def named(hours: float, index: int = archives.INDEX) -> str:
    return AGENT.name(AGENT.run(NOW - hours * HOUR, "0a1b2c"), index)


def archive(hours: float) -> bytes:
    parts = archives.members(state=f"state {hours}".encode() * 99)
    return archives.packed(archives.tar(parts, int((NOW - hours * HOUR).timestamp())))


def manifest(name: str, content: bytes, known: str = "") -> Manifest:
    snapshot = archives.verified(content)
    parsed = parse(name)
    assert parsed is not None
    return Manifest(
        snapshot=name,
        taken_at=f"{parsed.taken_at:%Y-%m-%dT%H:%M:%SZ}",
        index=snapshot.meta.index,
        term=snapshot.meta.term,
        size=snapshot.size,
        sha256=snapshot.sha256,
        duration=0.5,
        cluster_id="c",
        cluster_name="",
        product="openbao",
        version="2.5.0",
        node="http://127.0.0.1:8200",
        agent_version="0.1.0",
        known=known,
    )


async def store(place: Destination, hours: float, known: str = "") -> str:
    name, content = named(hours), archive(hours)
    made = manifest(name, content, known)
    keys = place.keys
    await place.storage.put(name, BytesSource(content))
    text = (made if keys is None else keys.sign(made)).to_json()
    await place.storage.put(manifest_name(name), BytesSource(text))
    return name


def place(name: str, storage: MemoryStorage | None = None, **more: object) -> Destination:
    made = Destination(name, storage or Recording(), pace=Pace(Every(HOUR), 4))
    return replace(made, **more)  # type: ignore[arg-type]


def objects(destination: Destination) -> dict[str, bytes]:
    assert isinstance(destination.storage, Recording)
    return destination.storage.texts()


async def copy(
    source: Destination,
    target: Destination,
    spool: Path,
    *,
    plan: bool = False,
    reads: bool = False,
) -> list[CopyResult]:
    readers = [StoredReader(source, one) for one in await source.stored()]
    copying = Copying(source, target, spool, reads)
    if plan:
        return [one async for one in copying.plan(readers)]
    assert not await copying.admit(readers)
    done = [one async for one in copying.run(readers)]
    assert not await copying.admit(readers)
    assert [*spool.iterdir()] == []  # noqa: ASYNC240 - a folder of the test
    return done


def written(destination: Destination) -> list[str]:
    assert isinstance(destination.storage, Recording)
    return destination.storage.put_names


def states(done: Iterable[CopyResult]) -> list[str]:
    return [one.state.value for one in done]


async def test_all_that_lies_beside_it_goes_along_with_its_signature(tmp_path: Path) -> None:
    source, target = (place(name, signing=lambda: KEYS) for name in ("a", "b"))
    for hours in range(3):
        await store(source, hours)
    await source.mark(named(1), Sidecar.HOLD, "before the upgrade")
    note = DrillNote(named(2), passed=True, at="2026-11-23T10:00:00Z", seconds=9.0).sign(KEYS)
    await source.storage.put(Sidecar.DRILL.name_for(named(2)), BytesSource(note.to_json()))

    done = await copy(source, target, tmp_path)

    assert states(done) == ["copied"] * 3
    assert objects(target) == objects(source)
    stored = await target.stored()
    judged = await target.proofs.worth(await target.proofs.judge(stored), stored)
    assert [one.signed for one in judged] == [True] * 3
    order = [name for name in written(target) if name.startswith(named(1))]
    assert order == [f"{named(1)}.hold", named(1), f"{named(1)}.json"], "held before it is there"


async def test_a_copy_damaged_in_place_leaves_the_other_whole(tmp_path: Path) -> None:
    source, target, spool = (tmp_path / name for name in ("a", "b", "spool"))
    for folder in (source, target, spool):
        folder.mkdir()
    here, there = (Destination(one.name, LocalStorage(one)) for one in (source, target))
    name = await store(here, 0)
    assert states(await copy(here, there, spool)) == ["copied"]
    with (target / name).open("r+b") as file:
        file.write(b"damaged")
    assert (source / name).read_bytes() == archive(0)


async def test_what_is_there_is_not_sent_again(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    for hours in range(3):
        await store(source, hours)
    await copy(source, target, tmp_path)
    storage = target.storage
    assert isinstance(storage, Recording)
    await storage.delete(named(1))
    storage.put_names.clear()

    planned = await copy(source, target, tmp_path, plan=True)
    assert states(planned) == ["there already", "would be copied", "there already"]
    assert storage.put_names == []
    assert states(await copy(source, target, tmp_path)) == [
        "there already",
        "copied",
        "there already",
    ]
    assert storage.put_names == [named(1), manifest_name(named(1))]


async def test_what_was_interrupted_before_its_manifest_gets_that_alone(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    name = await store(source, 1)
    await target.storage.put(name, BytesSource(archive(1)))
    storage = target.storage
    assert isinstance(storage, Recording)
    storage.put_names.clear()

    assert states(await copy(source, target, tmp_path)) == ["copied"]

    assert storage.put_names == [manifest_name(name)]


@pytest.mark.parametrize("with_note", [False, True])
async def test_what_is_broken_there_is_replaced(tmp_path: Path, with_note: bool) -> None:
    source, target = place("a"), place("b")
    name = await store(source, 1)
    await store(target, 1)
    await target.storage.put(name, BytesSource(archive(1)[:-9]))
    if with_note:
        await target.storage.put(Sidecar.BROKEN.name_for(name), BytesSource(b"{}"))

    assert states(await copy(source, target, tmp_path)) == ["copied"]

    assert objects(target) == objects(source)


async def test_what_seems_to_be_there_is_read_if_it_is_asked_for(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    name = await store(source, 1)
    await store(target, 1)
    (there,) = await copy(source, target, tmp_path, reads=True)
    assert (there.state, there.detail) == (CopyState.THERE, "read: whole")

    flipped = bytearray(archive(1))
    flipped[40] ^= 1
    await target.storage.put(name, BytesSource(bytes(flipped)))
    found = ScrubNote({name: LastReading(NOW, "broken")}, (), NOW)
    await target.storage.put(target.notes.scrub, BytesSource(found.to_json(target.keys)))
    assert (await read_scrub_note(target, NOW)).rotten == (name,)
    (there,) = await copy(source, target, tmp_path)
    assert (there.state, there.detail[:8]) == (CopyState.THERE, "not read")

    (mended,) = await copy(source, target, tmp_path, reads=True)
    assert mended.state is CopyState.COPIED
    assert "what was there was broken" in mended.detail
    assert (await read_scrub_note(target, NOW)).readings == {}
    await target.storage.delete(target.notes.scrub)
    assert objects(target) == objects(source)


@pytest.mark.parametrize("is_first", [True, False])
async def test_unsigned_copies_that_do_not_count_are_told(tmp_path: Path, is_first: bool) -> None:
    """They count if they come before the first signed one of the target."""
    source, target = place("a"), place("b", signing=lambda: KEYS)
    old = [await store(source, hours) for hours in (3, 2)]
    source = replace(source, signing=lambda: KEYS)
    new = await store(source, 1, known=write_known(old))
    if not is_first:
        await store(target, 0, known=write_known([]))
    await copy(source, target, tmp_path)

    told = await Copying(source, target, tmp_path).describe_uncounted({*old, new})

    if is_first:
        assert told == ""
    else:
        assert told.startswith("b: does not count for retention there, and is never deleted by it")
        assert all(name in told for name in old)
        assert new not in told
    done = await target.proofs.worth(
        await target.proofs.judge(await target.stored()), await target.stored()
    )
    assert [one.name for one in done if one.doubt] == ([] if is_first else [*reversed(old)])


async def test_without_the_key_what_agents_with_it_read_stays(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    name = await store(source, 1)
    await target.storage.put(name, BytesSource(archive(1)[:-9]))
    found = ScrubNote({name: LastReading(NOW, "broken")}, (), NOW).to_json(KEYS)
    await target.storage.put(target.notes.scrub, BytesSource(found))

    assert states(await copy(source, target, tmp_path, reads=True)) == ["copied"]

    assert objects(target)[target.notes.scrub] == found


async def test_another_whole_one_of_its_name_is_not_replaced(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    name = await store(source, 1)
    other = archive(7)
    await target.storage.put(name, BytesSource(other))
    await target.storage.put(manifest_name(name), BytesSource(manifest(name, other).to_json()))
    before = objects(target)

    (one,) = await copy(source, target, tmp_path)

    assert "another whole snapshot of that name" in str(one.error)
    assert objects(target) == before


async def test_a_broken_one_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    for hours in range(3):
        await store(source, hours)
    await source.storage.put(named(1), BytesSource(archive(1)[:-9]))
    await source.mark(named(1), Sidecar.HOLD, "why")

    done = await copy(source, target, tmp_path)

    assert states(done) == ["copied", "failed", "copied"]
    assert isinstance(done[1].error, VerificationError)
    assert [name for name in objects(target) if name.startswith(named(1))] == []


async def test_one_that_its_manifest_does_not_describe_is_not_copied(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    name = await store(source, 1)
    await source.storage.put(name, BytesSource(archive(2)))

    (one,) = await copy(source, target, tmp_path)

    assert isinstance(one.error, VerificationError)
    assert objects(target) == {}


async def test_a_failed_upload_leaves_no_hold_without_its_snapshot(tmp_path: Path) -> None:
    source, target = place("a"), place("b", Recording([named(1)]))
    await store(source, 1)
    await source.mark(named(1), Sidecar.HOLD, "why")

    assert states(await copy(source, target, tmp_path)) == ["failed"]

    assert objects(target) == {}


@pytest.mark.parametrize("missing", ["", ".json"])
@pytest.mark.parametrize("reads", [False, True])
async def test_a_hold_is_taken_along_although_the_snapshot_is_there(
    tmp_path: Path, missing: str, reads: bool
) -> None:
    """Otherwise the target's retention deletes what was held before an upgrade."""
    source, target = place("a"), place("b")
    for one in (source, target):
        await store(one, 1)
    await source.mark(named(1), Sidecar.HOLD, "before the upgrade")
    if missing:
        await target.storage.delete(named(1) + missing)
    before = len(written(target))

    done = await copy(source, target, tmp_path, reads=reads)

    assert states(done) == ["copied" if missing else "there already"]
    assert objects(target) == objects(source)
    assert written(target)[before] == f"{named(1)}.hold", "before it counts for retention"


async def test_the_hold_of_the_target_is_its_own(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    for one in (source, target):
        await store(one, 1)
        await one.mark(named(1), Sidecar.HOLD, f"why in {one.name}")
    before = objects(target)

    assert states(await copy(source, target, tmp_path)) == ["there already"]

    assert objects(target) == before


async def test_a_hold_released_meanwhile_is_no_failure(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    await store(source, 1)
    await source.mark(named(1), Sidecar.HOLD, "why")
    readers = [StoredReader(source, one) for one in await source.stored()]
    await source.unmark(named(1), Sidecar.HOLD)

    done = [one async for one in Copying(source, target, tmp_path).run(readers)]

    assert states(done) == ["copied"]
    assert objects(target) == objects(source)


async def test_a_storage_that_is_down_is_not_tried_for_each(tmp_path: Path) -> None:
    source = place("a")
    names = [await store(source, hours) for hours in range(6)]
    down = Recording(names)

    done = await copy(source, place("b", down), tmp_path)

    assert states(done) == ["failed"] * 6
    told = [str(one.error) for one in done]
    assert [text.startswith("it was not tried") for text in told] == [False] * 3 + [True] * 3


async def test_one_without_a_manifest_stays_unverified(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    await source.storage.put(named(1), BytesSource(archive(1)))
    await source.storage.put(named(2), BytesSource(archive(2)))
    await source.storage.put(manifest_name(named(2)), BytesSource(b"{}"))

    first, second = await copy(source, target, tmp_path)

    assert states((first, second)) == ["copied", "copied"]
    assert second.detail == "its manifest is damaged and stays behind: it counts as unverified"
    assert sorted(objects(target)) == sorted([named(1), named(2)])


# A storage that was filled up is none that is flooded.


async def flooded(target: Destination) -> str:
    return (await target.prune(NOW, dry_run=True)).alarm


async def run_on(target: Destination, hours: Iterable[float]) -> None:
    """Store as an agent does: each manifest tells of those before it."""
    for at in hours:
        before = [one.name for one in await target.stored()]
        await store(target, at, write_known(before))


@pytest.mark.parametrize("tells_of_target", [True, False])
async def test_a_filled_up_storage_is_none_that_is_flooded(
    tmp_path: Path, tells_of_target: bool
) -> None:
    """Neither do its own manifests speak against the copies, nor those of the copies against it."""
    keeping = Retention(last=2)
    source, target = (place(name, retention=keeping) for name in ("a", "b"))
    outage = range(90, 30, -1)
    if tells_of_target:
        await run_on(target, range(160, 90, -1))
        await run_on(target, range(5, -1, -1))
    await run_on(source, outage)

    assert {one.state for one in await copy(source, target, tmp_path)} == {CopyState.COPIED}

    assert await flooded(target) == ""
    for hours in range(20):  # what nobody copied is one, then as before
        await store(target, 40.5 - hours / 60)
    assert ("snapshots were added since" in await flooded(target)) == tells_of_target


async def test_without_that_word_it_would_be_one(tmp_path: Path) -> None:
    source, target = (place(name, retention=Retention(last=2)) for name in ("a", "b"))
    await run_on(target, range(5, -1, -1))
    await run_on(source, range(90, 30, -1))
    readers = [StoredReader(source, one) for one in await source.stored()]

    assert [one async for one in Copying(source, target, tmp_path).run(readers)]

    assert "snapshots were added since" in await flooded(target)


async def test_fields_of_later_versions_stay(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    name = await store(source, 1, write_known([named(7)]))
    fields = json.loads(objects(source)[manifest_name(name)])
    text = json.dumps(fields | {"later": [1]}).encode()
    await source.storage.put(manifest_name(name), BytesSource(text))

    await copy(source, target, tmp_path)

    copied = json.loads(objects(target)[manifest_name(name)])
    assert copied == fields | {"later": [1], "known": ""}


async def test_one_is_copied_after_the_other(tmp_path: Path) -> None:
    source, target = place("a"), place("b")
    for hours in range(3):
        await store(source, hours)
    readers = [StoredReader(source, one) for one in await source.stored()]
    results: AsyncIterator[CopyResult] = Copying(source, target, tmp_path).run(readers)

    assert (await anext(results)).state is CopyState.COPIED

    assert sorted(objects(target)) == sorted([named(0), manifest_name(named(0))])
