"""The board: whoever reads gets a value, and nobody waits for a reader."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.holding import CheckState, Survey
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.observe.board import StatusBoard

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)


def board(*names: str) -> StatusBoard:
    clusters = tuple(ClusterStatus(name) for name in names)
    return StatusBoard(AgentStatus("1", NOW, NOW, clusters), lambda: NOW)


async def test_one_cluster_changes_and_the_others_stay() -> None:
    posted = board("a", "b")
    before = posted.read()
    posted.change("b", lambda one: replace(one, node="http://n"))
    posted.change("gone", lambda one: replace(one, node="http://n"))
    assert [one.node for one in posted.read().clusters] == ["", "http://n"]
    assert [one.node for one in before.clusters] == ["", ""]


async def test_who_waits_is_woken_by_each_change_and_misses_none() -> None:
    posted = board("a")
    seen: list[str] = []

    async def reads() -> None:
        version = posted.version
        while len(seen) < 2:
            version = await posted.wait_for_change(version)
            seen.append(posted.read().clusters[0].node)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reads)
            await anyio.wait_all_tasks_blocked()
            posted.change("a", lambda one: replace(one, node="1"))
            await anyio.wait_all_tasks_blocked()
            posted.update(lambda status: replace(status, config_refused="no"))
    assert seen == ["1", "1"]
    assert posted.read().config_refused == "no"


async def test_what_is_measured_is_looked_up_by_each_reader() -> None:
    posted, seconds = board("a"), iter("12")
    posted.measure("a", lambda one: replace(one, node=next(seconds)))
    assert [posted.read().clusters[0].node for _ in range(2)] == ["1", "2"]
    posted.assign((ClusterStatus("b"),))
    assert [one.name for one in posted.read().clusters] == ["b"]


async def test_every_reader_judges_as_of_now() -> None:
    now = NOW
    stored = Survey.of([Stored("a.snap", NOW, 10, verified=True)], NOW)
    storage = StorageStatus("disk", "local").with_survey(
        stored, ScheduleSpec(Every(timedelta(hours=1))), NOW
    )
    posted = StatusBoard(AgentStatus("1", NOW, NOW, (ClusterStatus("a", (storage,)),)), lambda: now)
    assert posted.read().clusters[0].state(now) is CheckState.OK
    now = NOW - timedelta(hours=1)
    assert posted.read().clusters[0].state(now) is CheckState.CRITICAL


@pytest.mark.parametrize("ahead", [timedelta(days=10), timedelta(days=-3650)])
async def test_the_agent_runs_as_long_as_it_does_whatever_the_clock_is_set_to(
    ahead: timedelta,
) -> None:
    now, ran = NOW, timedelta(0)
    posted = StatusBoard(AgentStatus("1", NOW, NOW), lambda: now, lambda: ran)
    now, ran = NOW + timedelta(seconds=36), timedelta(seconds=30)
    assert posted.read().started_at == NOW, "it is slewed"
    now += ahead
    posted.update(lambda status: replace(status, config_refused="no"))

    told = posted.read()

    assert told.at - told.started_at == ran
    assert told.config_refused == "no"
