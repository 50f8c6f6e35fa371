"""What a loop publishes, with a real agent over stores in memory and no server."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.naming import AGENT
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.holding import CheckState, Survey
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import MEASURED, AgentStatus, ClusterStatus
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import ConfigError, StorageUnavailable
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.progress import Progress
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.daemon import ActiveConfig, Daemon
from raft_snapshot_agent.service.publisher import StatusPublisher, describe
from raft_snapshot_agent.storage.base import Entry
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.web.probes import probe_health, probe_readiness

pytestmark = pytest.mark.anyio


class Reader:
    """Notes how things stand, at each change."""

    def __init__(self) -> None:
        self.seen: list[AgentStatus] = []

    async def run(self, board: StatusBoard) -> None:
        while True:
            version = board.version
            self.seen.append(board.read())
            await board.wait_for_change(version)


class Broken:
    async def run(self, board: StatusBoard) -> None:
        raise ConfigError("no port")


async def test_a_companion_reads_how_a_run_ended_and_one_that_fails_harms_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config.model_validate({"vault": {"address": "http://127.0.0.1:9"}})
    agent = Agent(
        Cluster(config.vault, "anywhere"),
        [Destination("memory", MemoryStorage())],
        naming=AGENT,
        spool=tmp_path,
        deadline=5,
    )
    log = configure("text", "info")
    service = ActiveCluster(agent, ScheduleSpec(Every(timedelta(hours=1))), log)
    reader = Reader()
    daemon = Daemon(
        ActiveConfig({"": service}, log, {"off": "vault.address: missing"}, "agent.yaml"),
        companions=[Broken(), reader],
    )
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            while not (reader.seen and reader.seen[-1].clusters[0].attempts):  # noqa: ASYNC110
                await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
    last = reader.seen[-1]
    cluster, off = last.clusters
    assert (cluster.role, cluster.attempts) == (Role.WORKS, {"failed": 1})
    assert cluster.failing is not None
    assert "127.0.0.1:9" in cluster.failing.text
    (storage,) = cluster.storages
    assert (storage.schedule, storage.interval) == ("every 1h", timedelta(hours=1))
    assert storage.holding is not None
    assert storage.holding.census is not None
    assert storage.next_due is not None
    assert (off.name, off.disabled) == ("off", "vault.address: missing")
    assert last.config_source == "agent.yaml"
    assert cluster.heartbeat is not None
    assert abs(cluster.heartbeat - datetime.now(UTC)) < timedelta(minutes=1)
    assert "no port" in capsys.readouterr().err


async def test_phases_and_the_room_in_the_spool_are_told(tmp_path: Path) -> None:
    config = Config.model_validate({"vault": {"address": "http://127.0.0.1:9"}})
    agent = Agent(Cluster(config.vault, "anywhere"), [], naming=AGENT, spool=tmp_path, deadline=5)

    report = await agent.run_once()

    (leader,) = report.phases
    assert (leader.name, leader.storage, leader.failed) == ("leader", "", True)
    assert 0 <= leader.began <= leader.began + leader.seconds
    assert ClusterStatus("").ended(report).phases == {("leader", ""): leader.seconds}
    assert agent.spool.free


async def test_whoever_reads_changes_what_is_measured_and_nothing_else(tmp_path: Path) -> None:
    config = Config.model_validate({"vault": {"address": "http://127.0.0.1:9"}})
    agent = Agent(Cluster(config.vault, "anywhere"), [], naming=AGENT, spool=tmp_path, deadline=5)
    agent.lease = FreeLease()  # type: ignore[assignment]
    service = ActiveCluster(
        agent, ScheduleSpec(Every(timedelta(hours=1))), configure("text", "info")
    )
    now = datetime.now(UTC)
    board = StatusBoard(AgentStatus("", now, now, (ClusterStatus(""),)))
    publisher = StatusPublisher(service, board, lambda: now)
    publisher.begin()
    (published,) = board.read().clusters
    publisher.measure_by(Progress())

    (read,) = board.read().clusters

    changed = {
        one.name
        for one in fields(ClusterStatus)
        if getattr(read, one.name) is not getattr(published, one.name)
    }
    assert {"activity", "heartbeat", "lease"} <= changed <= MEASURED


class FreeLease:
    """One that nobody holds."""

    held_lease = None
    location = holder = "nowhere"
    trouble = None


NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def serve(tmp_path: Path, destination: Destination, every: timedelta) -> ActiveCluster:
    config = Config.model_validate({"vault": {"address": "http://127.0.0.1:9"}})
    agent = Agent(
        Cluster(config.vault, "anywhere"), [destination], naming=AGENT, spool=tmp_path, deadline=5
    )
    return ActiveCluster(agent, ScheduleSpec(Every(every)), configure("text", "info"))


class Elsewhere(MemoryStorage):
    def location(self, name: str) -> str:
        return f"elsewhere:{name}"


def describe_listed(tmp_path: Path) -> ClusterStatus:
    """Return the status of a storage with one snapshot, which is two hours old."""
    before = describe(serve(tmp_path, Destination("s3", MemoryStorage()), timedelta(hours=1)), NOW)
    stored = Stored("a.snap", NOW - timedelta(hours=2), 10, 1, verified=True)
    (storage,) = before.storages
    listed = storage.with_survey(
        Survey.of([stored], NOW), ScheduleSpec(Every(timedelta(hours=1))), NOW
    )
    return replace(before, storages=(replace(listed, uploads={"ok": 3}, pruned=2),))


@pytest.mark.parametrize(
    ("facts", "every", "state"),
    [
        ({}, 1, CheckState.CRITICAL),
        ({"required": False}, 1, CheckState.WARNING),
        ({}, 24, CheckState.OK),
    ],
)
async def test_a_reload_judges_by_the_new_configuration_at_once(
    tmp_path: Path, facts: dict[str, bool], every: int, state: CheckState
) -> None:
    changed = Destination("s3", MemoryStorage(), **facts)  # type: ignore[arg-type]
    service = serve(tmp_path, changed, timedelta(hours=every))
    (storage,) = describe(service, NOW, describe_listed(tmp_path)).storages
    assert storage.judge(NOW).state is state
    assert (storage.stored, storage.uploads, storage.pruned) == (1, {"ok": 3}, 2)

    listed = storage.with_survey(storage.holding.survey, service.timing, NOW)  # type: ignore[union-attr]
    assert listed.judge(NOW).state is state


async def test_a_reload_keeps_what_was_known_of_a_storage_that_cannot_be_listed(
    tmp_path: Path,
) -> None:
    service = serve(tmp_path, Destination("s3", MemoryStorage()), timedelta(hours=24))
    before = describe_listed(tmp_path)
    (listed,) = before.storages
    failed = Survey(error=StorageUnavailable("no answer"))
    unlisted = listed.with_survey(failed, ScheduleSpec(Every(timedelta(hours=1))), NOW)
    (storage,) = describe(service, NOW, replace(before, storages=(unlisted,))).storages
    assert storage.judge(NOW).message == "no answer"
    assert storage.holding is not None
    assert storage.holding.deadline is not None
    assert storage.holding.deadline.due == NOW + timedelta(hours=22)


async def test_a_reload_knows_whether_the_agent_deletes_there(tmp_path: Path) -> None:
    changed = Destination("s3", MemoryStorage(), prunes=False)
    service = serve(tmp_path, changed, timedelta(hours=1))
    (storage,) = describe(service, NOW, describe_listed(tmp_path)).storages
    assert storage.holding is not None
    assert not storage.holding.prunes


async def test_of_another_place_nothing_is_known_but_the_counters_stay(tmp_path: Path) -> None:
    service = serve(tmp_path, Destination("s3", Elsewhere()), timedelta(hours=1))
    (storage,) = describe(service, NOW, describe_listed(tmp_path)).storages
    assert (storage.location, storage.last_success, storage.stored) == ("elsewhere:", None, 0)
    assert storage.judge(NOW).state is CheckState.UNKNOWN
    assert (storage.uploads, storage.pruned) == ({"ok": 3}, 2)


class Slow(MemoryStorage):
    """A storage that answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = anyio.Event()

    async def entries(self) -> list[Entry]:
        await self.may_answer.wait()
        return []


async def test_it_is_ready_when_its_storages_were_listed_and_stays_so(tmp_path: Path) -> None:
    storage = Slow()
    service = serve(tmp_path, Destination("slow", storage), timedelta(hours=1))
    reader = Reader()
    daemon = Daemon(ActiveConfig({"": service}, service.log), companions=[reader])
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            while not (reader.seen and reader.seen[-1].clusters):  # noqa: ASYNC110
                await anyio.sleep(0.01)
            assert probe_readiness(reader.seen[-1]).wrong == ("has not begun yet",)
            assert probe_health(reader.seen[-1]).good
            storage.may_answer.set()
            while not probe_readiness(reader.seen[-1]).good:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    again = describe(service, NOW, reader.seen[-1].clusters[0])
    assert probe_readiness(replace(reader.seen[-1], clusters=(again,))).good
