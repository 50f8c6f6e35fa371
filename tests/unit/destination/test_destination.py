from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from types import MappingProxyType

import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.core import archives

from raft_snapshot_agent.core.history.flood import Pace
from raft_snapshot_agent.core.history.guard import Losses
from raft_snapshot_agent.core.history.proof import write_known
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, RESTORED_NAME, Restored
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import SAFETY, Instant, Manifest, Sidecar
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.remembered import Remembered
from raft_snapshot_agent.destination.sidecars import read_small
from raft_snapshot_agent.errors import StorageDenied, StorageUnavailable
from raft_snapshot_agent.restore.noting import RestoreNotes
from raft_snapshot_agent.storage.base import BytesSource

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Locked(MemoryStorage):
    """A storage that refuses every delete."""

    refusal: Exception = field(default_factory=lambda: StorageDenied("it is locked"))
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def delete(self, name: str) -> None:
        self.asked.append(name)
        raise self.refusal


def named(hours: float, index: int = 1) -> str:
    return AGENT.name(AGENT.run(NOW - hours * HOUR, "0a1b2c"), index)


async def full(storage: MemoryStorage, count: int = 32) -> Destination:
    for hours in range(count):
        await storage.put(named(hours), BytesSource(b"abc"))
    return Destination("s3", storage, retention=Retention(last=2))


async def test_refused_deletes_are_one_line_and_tried_once_a_day() -> None:
    storage = Locked()
    destination = await full(storage)

    first = await destination.prune(NOW)

    assert len(storage.asked) == 30
    oldest = named(31)
    assert first.warnings == (f"{oldest} and others are not deleted: it is locked",)
    assert first.undeleted == {first.warnings[0]: 30}
    await storage.put(named(-1), BytesSource(b"abc"))
    later = await destination.prune(NOW + HOUR)
    assert len(storage.asked) == 31, "only what is new to it"
    assert later.warnings == first.warnings, "the same words while it lasts"
    assert later.undeleted == {later.warnings[0]: 31}
    await destination.prune(NOW + 25 * HOUR)
    assert len(storage.asked) == 31 + 31


async def test_the_reason_of_a_hold_may_be_typed_in_another_encoding() -> None:
    destination = await full(MemoryStorage(), 1)
    typed = os.fsdecode("before the café".encode("latin-1"))
    await destination.mark(named(0), Sidecar.HOLD, typed)
    (stored,) = await destination.stored()
    assert stored.held
    note = await read_small(destination.storage, Sidecar.HOLD.name_for(named(0)))
    assert note == b"before the caf?\n"


async def test_safety_snapshots_push_no_other_out() -> None:
    destination = Destination("s3", MemoryStorage(), retention=Retention(last=3))
    for hours in range(6):
        purpose = SAFETY if hours in {1, 2} else ""
        await hold(destination, named(hours), hours, 1, {"purpose": purpose})

    assert (await destination.prune(NOW)).deleted == (named(5),)
    await hold(destination, named(-1), -1, 1)
    assert (await destination.prune(NOW + HOUR)).deleted == (named(4), named(2))


async def test_a_limit_below_the_size_of_one_snapshot_is_told() -> None:
    destination = await full(MemoryStorage(), 3)

    small = await replace(destination, retention=Retention(max_space=2)).prune(NOW)
    enough = await replace(destination, retention=Retention(max_space=3)).prune(NOW)

    assert [
        one.startswith("max_space 2 is less than the size of one snapshot")
        for one in small.warnings
    ] == [True]
    assert enough.warnings == ()


async def test_a_dry_run_counts_what_is_read_again() -> None:
    storage = MemoryStorage()
    destination = await full(storage, 2)
    await storage.put(f"{named(1)}.broken", BytesSource(b"{}"))

    assert (await destination.prune(NOW, dry_run=True)).reviews == 1


async def test_a_storage_that_cannot_be_reached_is_not_asked_for_each() -> None:
    storage = Locked(refusal=StorageUnavailable("it is down"))
    destination = await full(storage)

    done = await destination.prune(NOW)

    assert len(storage.asked) == 3
    assert done.undeleted == {f"{named(31)} and others are not deleted: it is down": 30}
    await destination.prune(NOW + HOUR)
    assert len(storage.asked) == 6, "it may be up again"


# The guard, and who lies to it.


def manifest(name: str, **more: object) -> Manifest:
    snapshot = archives.verified(archives.archive())
    made = Manifest(
        snapshot=name,
        taken_at=f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
        index=1,
        term=3,
        size=3,
        sha256=snapshot.sha256,
        duration=0.5,
        cluster_id="c",
        cluster_name="",
        product="openbao",
        version="2.5.0",
        node="http://127.0.0.1:8200",
        agent_version="0.1.0",
    )
    return replace(made, **more)  # type: ignore[arg-type]


async def hold(
    destination: Destination,
    name: str,
    hours: float,
    index: int,
    lie: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Store a snapshot and a manifest that tells of these."""
    taken_at = f"{NOW - hours * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    own = {
        "index": index,
        "taken_at": taken_at,
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
    }
    told = manifest(name, **{**own, **lie})
    await destination.storage.put(name, BytesSource(b"abc"))
    await destination.storage.put(manifest_name(name), BytesSource(told.to_json()))


async def watched(destination: Destination, index: int, **more: object) -> str:
    """Hold a new snapshot against what is there; say why an alarm was raised."""
    history = await destination.history(Instant("host", 1e6), NOW)
    found = await destination.judge_and_sign(
        history, manifest(named(0, index), index=index, **more)
    )
    return found.alarm


@pytest.mark.parametrize(
    "lie",
    [
        {"index": 0, "size": 0},
        {"index": 0},
        {"size": 0},
        {"snapshot": "another.snap"},
        {"taken_at": "2020-01-01T00:00:00Z"},
    ],
)
@pytest.mark.parametrize("hours", [0.5, -9000])
async def test_a_forged_newest_manifest_blinds_nobody(hours: float, lie: dict[str, object]) -> None:
    destination = Destination("memory", MemoryStorage())
    await hold(destination, named(1, 500), 1, 500)
    forged = named(hours, 501)
    await hold(destination, forged, hours, 501, lie)

    assert "the Raft index went back from 500 to 20" in await watched(destination, 20)


async def test_thirty_from_the_future_blind_nobody() -> None:
    destination = Destination("memory", MemoryStorage())
    await hold(destination, named(1, 500), 1, 500)
    for number in range(31):
        await hold(destination, named(-9000 - number, 1), -9000 - number, 1)

    assert "the Raft index went back from 500 to 20" in await watched(destination, 20)


async def test_a_manifest_without_end_is_none() -> None:
    destination = Destination("memory", MemoryStorage())
    await hold(destination, named(1, 500), 1, 500)
    await hold(destination, named(0.5, 501), 0.5, 501)
    await destination.storage.put(
        manifest_name(named(0.5, 501)), BytesSource(b'{"a": "' + b"x" * (3 << 20))
    )

    assert "the Raft index went back from 500 to 20" in await watched(destination, 20)


async def test_an_alarm_stands_until_it_is_acknowledged_and_is_not_raised_again() -> None:
    destination = Destination("memory", MemoryStorage(), retention=Retention(last=1))
    await hold(destination, named(2, 500), 2, 500)
    first = await watched(destination, 20)
    await hold(destination, named(1, 21), 1, 21, {"history": named(1, 21)})
    assert await watched(destination, 22) == first, "the first word stays"
    assert (await destination.prune(NOW)).alarm == first
    assert (await destination.prune(NOW, acknowledged=True, dry_run=True)).plan.delete

    assert str(await destination.acknowledge()) == first

    assert await watched(destination, 22) == ""
    assert (await destination.prune(NOW)).deleted == (named(2, 500),)


async def test_a_new_history_begins_with_the_alarm_and_is_handed_on() -> None:
    destination = Destination("memory", MemoryStorage())
    await hold(destination, named(1, 500), 1, 500)
    history = await destination.history(Instant("host", 1e6), NOW)
    wiped = await destination.judge_and_sign(history, manifest(named(0, 20), index=20))
    assert wiped.manifest.history == named(0, 20)

    await hold(destination, named(0.5, 20), 0.5, 20, {"history": "it"})
    history = await destination.history(Instant("host", 1e6), NOW)
    next_one = await destination.judge_and_sign(history, manifest(named(0, 21), index=21))
    assert next_one.manifest.history == "it"


async def test_word_of_a_restore_is_taken_once() -> None:
    destination = Destination("memory", MemoryStorage())
    await hold(destination, named(1, 500), 1, 500)
    at = f"{NOW - HOUR / 2:%Y-%m-%dT%H:%M:%SZ}"
    await destination.expect(Restored("old.snap", at, "c", 20, 3))

    assert await watched(destination, 22) == ""

    names = {entry.name for entry in await destination.storage.entries()}
    assert names.isdisjoint({GUARD_NAME, RESTORED_NAME})
    assert await watched(destination, 22), "once"


async def hold_judged(destination: Destination, hours: float, index: int, **more: object) -> str:
    """Store a snapshot as a run does, judged and with its manifest; return the alarm."""
    when = NOW - hours * HOUR
    name = named(hours, index)
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    now = manifest(name, index=index, sha256=sha256, taken_at=f"{when:%Y-%m-%dT%H:%M:%SZ}", **more)
    found = await destination.judge_and_sign(await destination.history(Instant(), when), now)
    await destination.storage.put(name, BytesSource(b"x" * now.size))
    await destination.storage.put(manifest_name(name), BytesSource(found.manifest.to_json()))
    return found.alarm


KEYS = SigningKeys(b"k" * 32)
LOSSES = [
    ({"index": 900, "size": 100}, "the snapshot shrank from 1000 to 100 bytes"),
    ({"index": 20, "size": 1000}, "the Raft index went back from 500 to 21"),
    ({"index": 900, "size": 1000, "cluster_id": "d"}, "the cluster is another"),
    ({"index": 900, "size": 1000, "term": 2}, "the Raft term went back from 3"),
]


@pytest.mark.parametrize(("damage", "alarm"), LOSSES, ids=["size", "index", "cluster", "term"])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["unsigned", "signed"])
async def test_what_a_declined_restore_stored_hides_no_loss(
    damage: dict[str, int], alarm: str, keys: SigningKeys | None
) -> None:
    signing = None if keys is None else lambda: keys
    destination = Destination("memory", MemoryStorage(), losses=Losses(size=0.5), signing=signing)
    await hold_judged(destination, 3, 500, size=1000)

    for hours in range(2, -60, -5):  # as often as somebody tries
        assert not await hold_judged(replace(destination, purpose=SAFETY), hours / 30, **damage)
    assert await destination.alarm() is None

    assert alarm in await hold_judged(destination, -3, **{**damage, "index": damage["index"] + 1})


async def test_a_safety_snapshot_leaves_the_note_of_the_restore_before_it() -> None:
    """Restored, then asked to restore again and answered no: the next snapshot is explained."""
    destination = Destination("memory", MemoryStorage(), losses=Losses(size=0.5))
    await hold_judged(destination, 3, 500, size=1000)
    at = f"{NOW - 2 * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    await destination.expect(Restored("old.snap", at, "c", 20, 100))

    await hold_judged(replace(destination, purpose=SAFETY), 1, 600, size=100)

    assert await hold_judged(destination, 0, 700, size=100) == ""
    names = {entry.name for entry in await destination.storage.entries()}
    assert names.isdisjoint({GUARD_NAME, RESTORED_NAME})


async def test_a_snapshot_is_not_hidden_as_a_safety_snapshot_without_the_key() -> None:
    destination = Destination("memory", MemoryStorage(), signing=lambda: KEYS)
    await hold_judged(destination, 3, 500)
    beside = manifest_name(named(3, 500))
    told = Manifest.from_json(await read_small(destination.storage, beside))
    await destination.storage.put(beside, BytesSource(replace(told, purpose=SAFETY).to_json()))

    assert "the Raft index went back from 500" in await hold_judged(destination, 0, 20)


async def beside_history() -> tuple[Destination, Destination]:
    """Store a snapshot in two storages in one folder, of which one has a static name."""
    history = Destination("history", MemoryStorage(), Retention(last=1), pace=Pace(Every(HOUR), 4))
    latest = replace(history, name="latest", static_name="latest.snap", told=Remembered())
    await hold(history, named(1, 500), 1, 500)
    await hold(latest, "latest.snap", 1, 500)
    return latest, history


async def test_one_storage_takes_no_word_of_a_restore_from_another_in_its_folder() -> None:
    for first, second in permutations(await beside_history()):
        at = f"{NOW - HOUR / 2:%Y-%m-%dT%H:%M:%SZ}"
        for one in (first, second):
            await one.expect(Restored("old.snap", at, "c", 20, 3))

        assert await watched(first, 22) == ""
        assert await watched(second, 22) == ""

        left = {entry.name for entry in await first.storage.entries()}
        assert not [name for name in left if "restored" in name]
        await first.expect(Restored("old.snap", at, "c", 20, 3))
        notes = RestoreNotes((second,))
        assert await notes.leave(Restored("new.snap", at, "c", 20, 3)) == []
        assert await notes.take_back() == []
        assert await watched(first, 22) == ""


async def test_an_alarm_is_that_of_the_history_and_ends_with_its_acknowledgement() -> None:
    latest, history = await beside_history()
    for hours in range(2, 62):
        await hold(history, named(hours), hours, 1)
    await hold(history, named(0.5, 501), 0.5, 501, {"known": write_known([named(1, 500)])})

    assert "snapshots were added" in await watched(history, 502)
    assert await watched(latest, 502) == ""
    assert await latest.alarm() is None
    assert await latest.acknowledge() is None
    assert await history.alarm() is not None
    assert await history.acknowledge() is not None
    history = replace(history, told=Remembered())
    assert await watched(history, 502) == ""


# Mounts that lose their keys.

FULL = "logical/a/ 500 9000; sys/policy/ 4 99"
EMPTY = "logical/b/ 500 9000; sys/policy/ 4 99"
LOST = "the mount logical/a/ has vanished with its 500 keys"


async def test_a_mount_that_vanished_is_an_alarm_until_it_is_acknowledged() -> None:
    destination = Destination("memory", MemoryStorage(), losses=Losses(0.5, 0.5))
    await hold(destination, named(2, 500), 2, 500, {"counts": FULL})

    assert (await watched(destination, 501, counts=EMPTY)).startswith(LOST)
    await hold(destination, named(1, 501), 1, 501, {"counts": EMPTY, "history": named(1, 501)})
    await destination.acknowledge()
    assert await watched(destination, 502, counts=EMPTY) == ""


@pytest.mark.parametrize(
    ("before", "now", "share"), [("", EMPTY, 0.5), (FULL, "", 0.5), (FULL, EMPTY, 1.0)]
)
async def test_where_nothing_was_counted_or_all_may_go_there_is_no_alarm(
    before: str, now: str, share: float
) -> None:
    destination = Destination("memory", MemoryStorage(), losses=Losses(0.5, share))
    await hold(destination, named(2, 500), 2, 500, {"counts": before})

    assert await watched(destination, 501, counts=now) == ""


async def test_with_a_key_only_signed_counts_are_believed() -> None:
    destination = Destination(
        "memory", MemoryStorage(), losses=Losses(0.5, 0.5), signing=lambda: KEYS
    )
    name = named(2, 500)
    await hold(destination, name, 2, 500)
    taken_at = f"{NOW - 2 * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    signed = KEYS.sign(manifest(name, index=500, taken_at=taken_at, counts=FULL))

    async def found(told: Manifest) -> str:
        await destination.storage.put(manifest_name(name), BytesSource(told.to_json()))
        forgetful = replace(destination, told=Remembered())
        return await watched(forgetful, 501, counts=EMPTY)

    assert await found(replace(signed, counts=EMPTY)) == ""
    await destination.storage.delete(GUARD_NAME)
    assert (await found(signed)).startswith(LOST)
    assert KEYS.has_signed(replace(signed, counts="", counts_signature="")), (
        "older versions read it"
    )


async def test_counts_are_remembered_and_forgotten_like_what_a_manifest_tells_of_others() -> None:
    destination = Destination("memory", MemoryStorage(), losses=Losses(0.5, 0.5))
    await hold(destination, named(2, 500), 2, 500, {"counts": f"{FULL}; {'x' * 99}/ 1 1"})
    for _ in range(2):
        (one,) = await destination.stored()
        read = await destination.proofs.read(one)
        assert isinstance(read, Manifest)
        assert read.counts.startswith(FULL)
        less = await destination.proofs.read(one, whole=False)
        assert isinstance(less, Manifest)
        assert less.counts == ""


async def test_an_alarm_of_added_snapshots_is_read_as_it_was_raised() -> None:
    place = Destination("s", MemoryStorage(), retention=Retention(last=3), pace=Pace(Every(HOUR)))
    for hours in (-99, *range(40)):
        known = {"known": write_known([])} if hours == 0 else {}
        await hold(place, named(hours, 500 - hours), hours, 500 - hours, known)

    raised = (await place.prune(NOW)).alarm

    assert raised.endswith(f"raise guard.max_extra (since {named(0, 500)})"), "not the future one"
    assert (await place.prune(NOW)).alarm == raised
    assert str(await place.acknowledge()) == raised


# What is signed, and somebody without the key.


async def signed_history(count: int) -> tuple[Destination, MemoryStorage]:
    """Fill a storage as agents with a key do; return it as one without the key sees it."""
    storage = MemoryStorage()
    for hours in range(count):
        name = named(hours, 500 - hours)
        taken_at = f"{NOW - hours * HOUR:%Y-%m-%dT%H:%M:%SZ}"
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        told = manifest(name, index=500 - hours, taken_at=taken_at, sha256=sha256)
        signed = KEYS.sign(replace(told, known=write_known([])))
        await storage.put(name, BytesSource(b"abc"))
        await storage.put(manifest_name(name), BytesSource(signed.to_json()))
    policy = Retention(last=3)
    return Destination("memory", storage, retention=policy, pace=Pace(Every(HOUR))), storage


async def test_to_acknowledge_without_the_key_leaves_signed_manifests_as_they_are() -> None:
    destination, storage = await signed_history(4)
    assert await watched(destination, 20), "another cluster"
    before = {one.name: await read_small(storage, one.name) for one in await storage.entries()}

    assert await destination.acknowledge()

    del before[GUARD_NAME]
    after = {one.name: await read_small(storage, one.name) for one in await storage.entries()}
    assert after == before


async def test_without_the_key_the_lists_of_signed_manifests_raise_no_alarm() -> None:
    destination, _ = await signed_history(60)

    done = await destination.prune(NOW)

    assert not done.alarm
    assert done.deleted
