"""When storages are read back, by whom, and what the log says of it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.restore.test_copying import NOW, archive, manifest, named, place, store

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.notes import SCRUB_NAME
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.scrubbing import read_scrub_note
from raft_snapshot_agent.errors import NotLeader, StorageUnavailable
from raft_snapshot_agent.flock import lock
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.progress import Progress
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.service import scrubs
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_context import ClusterContext
from raft_snapshot_agent.service.cluster_tasks import ClusterTasks
from raft_snapshot_agent.service.scrub_plan import ScrubPlan
from raft_snapshot_agent.service.scrubs import ScrubLoop
from raft_snapshot_agent.storage.base import BytesSource, Entry

DAY = timedelta(days=1)
PATIENCE = 60


class Watched(MemoryStorage):
    """Notes when it is listed: once in each turn, while nothing is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[datetime] = []
        self.is_down = False

    async def entries(self) -> list[Entry]:
        self.listed.append(World.now)
        if self.is_down:
            raise StorageUnavailable("it is down")
        return await super().entries()


class World:
    """A clock that goes when the loop sleeps, and ends after some days."""

    now = NOW
    days = 3
    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    @classmethod
    async def sleep(cls, seconds: float) -> None:
        cls.now += timedelta(seconds=seconds)
        cls.meanwhile()
        if cls.now > NOW + cls.days * DAY:
            raise TimeoutError
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    World.now, World.meanwhile = NOW, lambda: None
    made = SimpleNamespace(sleep=World.sleep, Lock=anyio.Lock)
    monkeypatch.setattr(scrubs, "anyio", made)


class Cluster:
    def __init__(self, *, leads: bool) -> None:
        self.leads = leads

    def find_leader_for_this_agent(self) -> None:
        if not self.leads:
            raise NotLeader("another host's")


async def storage(name: str = "disk") -> Destination:
    made = place(name, Watched())
    for hours in range(3):
        await store(made, hours)
    return made


def listed(destination: Destination) -> list[datetime]:
    assert isinstance(destination.storage, Watched)
    return destination.storage.listed


def agent_of(*private: str, leads: bool = True, lease: Any = None) -> Any:
    return SimpleNamespace(cluster=Cluster(leads=leads), lease=lease, private=frozenset(private))


def context_of(service: Any, progress: Progress | None = None) -> ClusterContext:
    board = StatusBoard.unread(lambda: World.now)
    progress = progress or Progress()
    return ClusterContext(Journal(service.log), progress, board, lambda: World.now)


async def days_with(
    destinations: Sequence[Destination],
    agent: Any = None,
    progress: Progress | None = None,
    spool: Path = Path("/nonexistent"),
) -> str:
    """Let some days go by; return what the log says of them."""
    said = io.StringIO()
    with redirect_stderr(said):
        service: Any = SimpleNamespace(
            name="", agent=agent or agent_of(), log=configure("text", "info")
        )
        plan = ScrubPlan(destinations, DAY, 1, spool)
        loop = ScrubLoop(service, plan, context_of(service, progress), anyio.Lock())
        with pytest.raises(TimeoutError):
            await loop.run()
    return said.getvalue()


@pytest.mark.usefixtures("world")
async def test_each_storage_has_its_turn_every_day() -> None:
    disk, bucket = await storage(), await storage("s3")

    said = await days_with([disk, bucket])

    for one in (disk, bucket):
        assert listed(one) == [NOW + day * DAY for day in range(4)]
    assert said.count(f"Read back and whole: {named(2)}") == 4, "the fourth begins anew"


@pytest.mark.usefixtures("world")
async def test_storages_in_one_folder_take_no_turn_from_each_other() -> None:
    history = await storage("history")
    statics = [
        replace(place(name, Watched()), storage=history.storage, static_name=f"{name}.snap")
        for name in ("latest", "other")
    ]
    for one in statics:
        assert one.static_name is not None
        told = replace(manifest(named(0), archive(0)), snapshot=one.static_name)
        await one.storage.put(one.static_name, BytesSource(archive(0)))
        await one.storage.put(manifest_name(one.static_name), BytesSource(told.to_json()))
    await history.storage.put(named(2), BytesSource(archive(2)[:-9]))

    said = await days_with([*statics, history])

    for read in ("latest.snap", "other.snap"):
        assert said.count(f"Read back and whole: {read}") == 4
    assert f"history: {named(2)} is corrupted" in said
    for one in statics:
        assert f"{one.name}: {named(2)}" not in said
        assert {*(await read_scrub_note(one, World.now)).readings} == {one.static_name}
    noted = (await read_scrub_note(history, World.now)).readings
    assert {*noted} == {named(0), named(1), named(2)}


@pytest.mark.usefixtures("world")
async def test_a_restart_or_another_agent_takes_no_turn_again() -> None:
    disk = await storage()
    await days_with([disk])
    World.now = NOW + timedelta(hours=75)
    listed(disk).clear()

    await days_with([disk])

    assert listed(disk) == [], "the note tells that it was read three hours before"


@pytest.mark.usefixtures("world")
async def test_who_does_not_work_reads_the_folders_of_its_host_alone() -> None:
    for standing_by in ({"leads": False}, {"lease": SimpleNamespace(held_lease=None)}):
        World.now = NOW
        disk, bucket = await storage(), await storage("s3")
        await days_with([disk, bucket], agent_of("disk", **standing_by))
        assert len(listed(disk)) == 4
        assert listed(bucket) == []


@pytest.mark.usefixtures("world")
async def test_what_is_rotten_is_told_when_it_begins_and_when_it_ends() -> None:
    disk = await storage()
    whole = archive(2)
    await disk.storage.put(named(2), BytesSource(whole[:-9]))

    def mend() -> None:
        if World.now >= NOW + 2.5 * DAY:
            disk.storage._objects[named(2)] = whole  # type: ignore[attr-defined]

    World.meanwhile = mend
    said = await days_with([disk])

    rotten = [line for line in said.splitlines() if f"{named(2)} is corrupted" in line]
    assert [" error " in line for line in rotten] == [True, True, True, False]
    assert "Resolved: " in rotten[-1]


@pytest.mark.usefixtures("world")
async def test_a_store_that_is_down_is_one_warning_and_no_rot() -> None:
    disk, bucket = await storage(), await storage("s3")
    disk.storage.is_down = True  # type: ignore[attr-defined]

    def mend() -> None:
        if World.now >= NOW + timedelta(minutes=40):
            disk.storage.is_down = False  # type: ignore[attr-defined]

    World.meanwhile = mend
    said = await days_with([disk, bucket])

    told = [line for line in said.splitlines() if "no scrub was possible: it is down" in line]
    assert [" warning " in line for line in told] == [True, False]
    assert "Resolved: " in told[1]
    assert "corrupted" not in said
    assert len(listed(bucket)) == 4, "the others have their turns"


@pytest.mark.usefixtures("world")
async def test_a_wall_clock_that_is_put_back_stops_nothing() -> None:
    disk = await storage()
    put_back: list[datetime] = []

    def back() -> None:
        if World.now >= NOW + DAY and not put_back:
            put_back.append(World.now)
            World.now -= 9 * DAY

    World.meanwhile = back
    await days_with([disk])

    assert len([at for at in listed(disk) if at < NOW]) >= 8


@pytest.mark.usefixtures("world")
async def test_nothing_is_read_while_a_run_is_under_way() -> None:
    disk, progress = await storage(), Progress()
    under_way = progress.going(9e9)
    under_way.__enter__()
    waited: list[datetime] = []

    def end() -> None:
        waited.append(World.now)
        if World.now >= NOW + timedelta(minutes=9) and progress.is_going:
            under_way.__exit__(None, None, None)

    World.meanwhile = end
    World.days, before = 1, World.days
    try:
        await days_with([disk], progress=progress)
    finally:
        World.days = before

    assert listed(disk)[0] >= NOW + timedelta(minutes=9)
    assert waited[0] < NOW + timedelta(seconds=1)


@pytest.mark.usefixtures("world")
async def test_two_agents_of_one_host_do_not_read_at_once(tmp_path: Path) -> None:
    disk = await storage()
    os.chmod(tmp_path, 0o700)  # noqa: PTH101 - a folder of the test
    other = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    assert lock(other)
    closed: list[datetime] = []

    def end() -> None:
        if World.now >= NOW + timedelta(minutes=1) and not closed:
            closed.append(World.now)
            os.close(other)

    World.meanwhile = end
    await days_with([disk], spool=tmp_path)

    assert listed(disk)[0] >= closed[0]


async def test_clusters_of_one_agent_take_turns_and_it_stops_at_once() -> None:
    reading: list[str] = []
    begun = anyio.Event()

    class Endless(Watched):
        async def entries(self) -> list[Entry]:
            reading.append("one")
            begun.set()
            await anyio.sleep_forever()
            raise AssertionError

    def service(name: str) -> Any:
        plan = ScrubPlan([place(name, Endless())], DAY, 1, Path("/nonexistent"))
        log = configure("text", "error")
        return ActiveCluster(agent_of(), ScheduleSpec(Every(DAY)), log, name=name, scrubs=plan)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            services = {name: service(name) for name in ("a", "b", "c")}
            held = ClusterTasks(
                lambda one: one.scrubs, ScrubLoop, lambda name: context_of(services[name])
            )
            held.assign(services.values(), tasks)
            await begun.wait()
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert reading == ["one"]
            held.assign([without_scrubs(services["a"])], tasks)


def without_scrubs(service: ActiveCluster) -> ActiveCluster:
    # Any change of the configuration opens another agent.
    return ActiveCluster(agent_of(), ScheduleSpec(Every(DAY)), service.log, name=service.name)


async def test_the_note_lies_beside_the_snapshots() -> None:
    disk = await storage()
    await disk.storage.put(SCRUB_NAME, BytesSource(b"{}"))

    assert len(await replace(disk, static_name=None).stored()) == 3
