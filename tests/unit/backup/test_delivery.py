"""What an upload leaves in one storage, whether it succeeds, fails or is cut off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.core.archives import archive, members, meta

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshots.naming import AGENT, Layout, Naming, manifest_name
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, Alarm, Restored
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar
from raft_snapshot_agent.core.state.report import Delivery, Outcome
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import StorageError, StorageFull, StorageUnavailable
from raft_snapshot_agent.storage.base import BytesSource, UploadSource
from raft_snapshot_agent.vault.answers import Identity
from raft_snapshot_agent.vault.leader import Leader

pytestmark = pytest.mark.anyio

LATEST = "latest.snap"
MINUTES = Layout("vault-", "20060102T1504")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Server:
    """Stands for a cluster whose state grows, and for the clock."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 28, 1, tzinfo=UTC)
        self.cluster_id = "one"
        self.index = 100
        self.grows = True

    def find_leader_for_this_agent(self) -> Leader:
        node: Any = SimpleNamespace(address="https://bao:8200")
        return Leader(node, 1, "", Identity(cluster_id=self.cluster_id, product="openbao"))

    def open_snapshot(self, _: Leader) -> Any:
        self.index += 1
        state = bytes(512 * (self.index if self.grows else 100))
        content = archive(members(meta(Index=self.index, Size=len(state)), state))
        return SimpleNamespace(chunks=lambda: (one for one in [content]), stop=lambda: None)

    def keep_token(self) -> None: ...
    def close(self) -> None: ...


class Disk(MemoryStorage):
    """Fails uploads of snapshots before or after they are stored, and notes what was beside."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = ""
        self.room = 1 << 30
        self.beside: set[str] = set()
        self.hanging = anyio.Event()

    async def put(self, name: str, source: UploadSource) -> int:
        if not name.endswith(".snap"):
            return await super().put(name, source)
        self.beside = {*self._objects}
        if self.fails == "hangs":
            self.hanging.set()
            await anyio.sleep_forever()
        if self.fails == "before":
            raise StorageUnavailable("the connection was cut")
        size = await super().put(name, source)
        if sum(map(len, self._objects.values())) > self.room:
            del self._objects[name]
            raise StorageFull("no space left", hint="make room there")
        if self.fails == "after":
            raise StorageUnavailable("no answer")
        return size - 1 if self.fails == "wrong size" else size

    @property
    def texts(self) -> dict[str, bytes]:
        return dict(self._objects)


class Site:
    """One agent with one storage."""

    def __init__(self, spool: Path, disk: Disk | None = None, **options: Any) -> None:
        self.server, self.disk = Server(), disk or Disk()
        self.destination = Destination("disk", self.disk, **options)
        cluster: Any = self.server
        self.agent = Agent(
            cluster,
            [self.destination],
            naming=self.destination.naming,
            spool=spool,
            deadline=60,
            clock=lambda: self.server.now,
        )

    async def fill(self, count: int) -> list[str]:
        """Store some snapshots, until not one more has room; return their names."""
        names = []
        for _ in range(count):
            names.append((await self.save()).name)
            self.server.now += MINUTE
        self.disk.room = sum(map(len, self.disk.texts.values())) + 1000
        return names

    def keep(self, **rules: Any) -> None:
        """Change the rules, as a reload does."""
        self.agent.destinations = [replace(self.destination, retention=Retention(**rules))]

    async def save(self, fails: str = "") -> Delivery:
        self.disk.fails = fails
        report = await self.agent.run_once()
        assert report.error is None
        assert (report.outcome is Outcome.FAILED) == (report.deliveries[0].error is not None)
        return report.deliveries[0]


async def test_a_failed_upload_leaves_the_static_snapshot_its_manifest(tmp_path: Path) -> None:
    site = Site(tmp_path, static_name=LATEST)
    await site.save()
    before = site.disk.texts

    assert (await site.save("before")).error is not None

    assert site.disk.beside == {LATEST}, "killed now, it is unverified, and no mismatch"
    assert site.disk.texts == before
    site.server.cluster_id = "another"
    site.server.now += MINUTE * 5
    assert "the cluster is another" in (await site.save()).alarm
    assert (await site.save()).alarm == ""


async def test_an_upload_that_is_stopped_leaves_the_static_snapshot_its_notes(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, static_name=LATEST)
    await site.save()
    await site.destination.mark(LATEST, Sidecar.DRILL, "passed")
    before = site.disk.texts

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(site.save, "hangs")
        await site.disk.hanging.wait()
        assert site.disk.beside == {LATEST}
        tasks.cancel_scope.cancel()

    assert site.disk.texts == before


@pytest.mark.parametrize("fails", ["after", "wrong size"])
@pytest.mark.parametrize("grows", [True, False])
async def test_what_is_replaced_all_the_same_keeps_no_manifest_of_another(
    tmp_path: Path, fails: str, *, grows: bool
) -> None:
    site = Site(tmp_path, static_name=LATEST)
    site.server.grows = grows
    await site.save()

    assert (await site.save(fails)).error is not None

    assert manifest_name(LATEST) not in site.disk.texts
    assert (await site.agent.list_taken()).get("disk", []) == [], "the slot is not served"
    assert (await site.save()).error is None
    (one,) = await site.destination.stored()
    assert one.verified


class BriefLease:
    """A lease that is lost as soon as it has confirmed a snapshot."""

    def __init__(self) -> None:
        self.is_held = True

    @property
    def held_lease(self) -> BriefLease:
        return self

    def held(self) -> bool:
        return self.is_held

    def insist(self) -> None:
        assert self.is_held

    async def confirm(self, *_: object) -> None:
        self.is_held = False


@pytest.mark.parametrize("static_name", [LATEST, None])
async def test_who_lost_the_lease_writes_no_manifest_under_a_name_of_all(
    tmp_path: Path, static_name: str | None
) -> None:
    site = Site(tmp_path, static_name=static_name)
    lease: Any = BriefLease()
    site.agent.lease = lease

    done = await site.save()

    is_written = manifest_name(done.name) in site.disk.texts
    assert is_written is (static_name is None)
    assert ["the lease was lost" in one for one in done.warnings] == [True] * (not is_written)


async def test_a_snapshot_that_is_replaced_passes_no_verdict_on(tmp_path: Path) -> None:
    site = Site(tmp_path, naming=MINUTES)
    name = (await site.save()).name
    for note in (Sidecar.BROKEN, Sidecar.MISMATCH, Sidecar.DRILL):
        await site.disk.put(note.name_for(name), BytesSource(b"of the one before\n"))

    done = await site.save()

    assert done.survey is not None
    assert {*site.disk.texts} == {name, manifest_name(name)}
    (one,) = await site.destination.stored()
    assert done.name == name
    assert done.survey.listed == (one,)
    assert one.is_counted


async def test_a_held_snapshot_is_not_replaced(tmp_path: Path) -> None:
    site = Site(tmp_path, naming=MINUTES, retention=Retention(last=9))
    name = (await site.save()).name
    await site.destination.mark(name, Sidecar.HOLD, "before the upgrade")
    before = site.disk.texts

    error = (await site.save()).error

    assert isinstance(error, StorageError)
    assert "is held" in error.message
    assert site.disk.texts == before
    site.server.now += MINUTE
    assert (await site.save()).error is None
    await site.destination.unmark(name, Sidecar.HOLD)
    site.server.now -= MINUTE
    assert (await site.save()).name == name


@pytest.mark.parametrize("naming", [AGENT, MINUTES])
async def test_a_full_storage_makes_room_as_the_rules_say(tmp_path: Path, naming: Naming) -> None:
    site = Site(tmp_path, naming=naming, retention=Retention(last=9))
    names = await site.fill(6)
    assert isinstance((await site.save()).error, StorageFull), "every rule keeps one"
    assert {*names} <= {*site.disk.texts}

    site.keep(last=3)
    done = await site.save()

    assert done.error is None
    assert done.deleted == (*names[:3], names[3])
    assert [one.name for one in await site.destination.stored()] == [done.name, *names[:3:-1]]


async def test_what_makes_no_room_costs_only_what_no_rule_keeps(tmp_path: Path) -> None:
    site = Site(tmp_path, retention=Retention(last=9))
    names = await site.fill(6)
    site.keep(last=3)
    site.disk.room = 1

    tries = [await site.save() for _ in range(3)]

    assert [isinstance(one.error, StorageFull) for one in tries] == [True] * 3
    assert [one.deleted for one in tries] == [tuple(names[:3]), (), ()]
    assert [one.name for one in await site.destination.stored()] == names[:2:-1]


async def test_a_full_storage_loses_nothing_for_a_snapshot_that_raises_an_alarm(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, retention=Retention(last=9))
    await site.fill(6)
    site.keep(last=3)
    before = site.disk.texts

    site.server.cluster_id = "another"
    full = [(await site.save()).error]
    site.server.cluster_id = "one"
    site.agent._unsettled.unvouched["disk"].append(manifest_of(site))
    full.append((await site.save()).error)

    assert [isinstance(error, StorageFull) for error in full] == [True, True]
    assert "retention makes no room: the new snapshot would raise an alarm" in str(full[0])
    assert "retention makes no room: an earlier snapshot has no manifest yet" in str(full[1])
    assert site.disk.texts == before


async def test_a_full_storage_tells_what_keeps_retention_from_making_room(tmp_path: Path) -> None:
    site = Site(tmp_path, retention=Retention(last=9))
    await site.fill(6)
    site.keep(last=1, max_deletes=2)

    assert "max_deletes" in str((await site.save()).error)

    site.keep(last=1)
    alarm = Alarm("the ID is another", "a.snap", "2026-11-28T00:00:00Z")
    await site.disk.put(GUARD_NAME, BytesSource(alarm.to_json()))
    assert "prune --acknowledge" in str((await site.save()).error)


@pytest.mark.parametrize("away", ["right again", "right at last"])
async def test_a_clock_that_jumps_ahead_deletes_no_history(tmp_path: Path, away: str) -> None:
    site = Site(tmp_path, retention=Retention(within=10 * MINUTE))
    names = await site.fill(5)
    site.disk.room = 1 << 30
    site.server.now += 10 * DAY

    jumped = [await site.save(), await site.save()]

    assert "jumped ahead by 10d" in jumped[0].alarm
    assert jumped[1].alarm == jumped[0].alarm, "until it is acknowledged"
    assert not (await site.destination.prune(site.server.now)).deleted
    if away == "right again":
        site.server.now -= 10 * DAY
    assert (await site.save()).alarm == jumped[0].alarm
    assert {*names} <= {*site.disk.texts}

    assert await site.destination.acknowledge()
    site.server.now += 8 * MINUTE
    done = await site.save()
    assert done.alarm == ""
    assert [*done.deleted] == (names[:4] if away == "right again" else names)
    stored = {one.name for one in await site.destination.stored()}
    assert {jumped[0].name, done.name} <= stored, "the one of the future fills no rule, and stays"


async def test_a_clock_that_jumps_ahead_is_told_beside_another_alarm(tmp_path: Path) -> None:
    site = Site(tmp_path, retention=Retention(last=9))
    first, *_ = await site.fill(1)
    site.disk.room = 1 << 30
    site.server.cluster_id = "another"
    second = await site.save()
    site.server.now += 10 * DAY + MINUTE

    alarm = (await site.save()).alarm

    assert alarm == str(await site.destination.alarm()) == (await site.save()).alarm
    assert "the cluster is another: another, before it was one; the wall clock" in alarm
    assert f"10d since {second.name}" in alarm
    assert first in site.disk.texts


async def test_a_restore_explains_no_clock(tmp_path: Path) -> None:
    site = Site(tmp_path, retention=Retention(within=10 * MINUTE))
    await site.fill(1)
    at = f"{site.server.now:%Y-%m-%dT%H:%M:%SZ}"
    await site.destination.expect(Restored("old.snap", at, "one", 1, 3))
    site.disk.room = 1 << 30
    site.server.now += 10 * DAY

    assert "jumped ahead by 10d" in (await site.save()).alarm


async def test_a_full_storage_loses_nothing_to_a_clock_that_jumps_ahead(tmp_path: Path) -> None:
    site = Site(tmp_path, retention=Retention(last=9))
    await site.fill(6)
    site.keep(last=3)
    before = site.disk.texts
    site.server.now += 10 * DAY

    assert "the new snapshot would raise an alarm" in str((await site.save()).error)
    assert site.disk.texts == before


def manifest_of(site: Site) -> Manifest:
    text = next(text for name, text in site.disk.texts.items() if name.endswith(".json"))
    return Manifest.from_json(text)
