"""Which loops run under which configuration."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.unit.service.test_cluster_loop import Agent

from raft_snapshot_agent.core.schedules.schedule import Cron, Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.core.state.status import ClusterStatus
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.systemd import SystemdNotifier
from raft_snapshot_agent.service import publisher
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_loops import ClusterLoops

pytestmark = pytest.mark.anyio


class Slow(Agent):
    """Takes snapshots of one cluster until it may end."""

    running = most = 0
    present_run = ""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.may_end, self.left = anyio.Event(), anyio.Event(), anyio.Event()

    async def run_once(self, names: Collection[str], *, again: Collection[str] = ()) -> Report:
        Slow.running += 1
        Slow.most = max(Slow.most, Slow.running)
        self.began.set()
        try:
            await self.may_end.wait()
        finally:
            Slow.running -= 1
        return await super().run_once(names, again=again)

    async def leave(self) -> None:
        self.left.set()


@pytest.fixture(autouse=True)
def nobody_runs() -> None:
    Slow.running = Slow.most = 0


def serve(*agents: Any, **more: Any) -> Mapping[str, ActiveCluster]:
    """Return one cluster for each agent: a, b and so on."""
    log = configure("text", "info")
    timing = ScheduleSpec(Every(timedelta(hours=1)))
    return {
        name: ActiveCluster(agent, timing, log.bind(cluster=name), name=name, **more)
        for name, agent in zip("ab", agents, strict=False)
    }


def clock() -> datetime:
    return datetime.now(UTC)


def loops(board: StatusBoard | None = None) -> ClusterLoops:
    return ClusterLoops(SystemdNotifier({}), clock, board or StatusBoard.unread(clock))


async def test_a_cluster_that_comes_back_waits_for_the_loop_it_had(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, never, new = Slow(), Slow(), Slow()
    held = loops()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            held.assign(serve(old), tasks)
            await old.began.wait()
            for one in (never, new):
                held.assign({}, tasks)
                held.assign(serve(one), tasks)
            await anyio.wait_all_tasks_blocked()
            assert not new.began.is_set()
            old.may_end.set()
            await new.began.wait()
            assert old.left.is_set()
            tasks.cancel_scope.cancel()
    assert Slow.most == 1
    assert not never.began.is_set()
    said = capsys.readouterr().err
    gone = "This cluster is no longer configured: no snapshots of it from now on; the one that runs"
    assert said.count(gone) == 1
    assert said.count("Next snapshot") == 2, "of the retired loop only before it was retired"


async def test_a_removed_cluster_whose_snapshot_is_stuck_is_still_watched() -> None:
    old = Slow()
    held = loops()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            held.assign(serve(old, patience=0.0), tasks)
            await old.began.wait()
            held.assign({}, tasks)
            while held.list_stuck() != ["a"]:  # noqa: ASYNC110 - time goes by
                await anyio.sleep(0.01)
            old.may_end.set()
            await old.left.wait()
            await anyio.wait_all_tasks_blocked()
    assert held.list_stuck() == []


async def test_a_cluster_that_waits_shows_whether_the_loop_it_had_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, never, new = Slow(), Slow(), Slow()
    board = StatusBoard.unread(clock)
    held = loops(board)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            held.assign(serve(old), tasks)
            await old.began.wait()
            for one in (never, new):
                held.assign({}, tasks)
                board.assign((ClusterStatus("a"),))
                held.assign(serve(one), tasks)
            much_later = time.monotonic() + 9999
            monkeypatch.setattr(publisher, "monotonic", lambda: much_later)
            heartbeat = board.read().clusters[0].heartbeat
            tasks.cancel_scope.cancel()
    assert heartbeat is not None
    assert clock() - heartbeat < timedelta(hours=1), "the snapshot makes progress"


def place(*places: tuple[str, Slow, str]) -> Mapping[str, ActiveCluster]:
    """Return clusters by name, agent and the place that they use."""
    return {
        name: replace(serve(agent)["a"], name=name, places=frozenset({where}))
        for name, agent, where in places
    }


async def test_a_cluster_with_another_name_waits_for_the_loop_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = Slow(), Slow()
    board = StatusBoard.unread(clock)
    held = loops(board)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            held.assign(place(("", old, "x")), tasks)
            await old.began.wait()
            board.assign((ClusterStatus("berlin"),))
            held.assign(place(("berlin", new, "x")), tasks)
            await anyio.wait_all_tasks_blocked()
            assert not new.began.is_set()
            with monkeypatch.context() as patch:
                much_later = time.monotonic() + 9999
                patch.setattr(publisher, "monotonic", lambda: much_later)
                heartbeat = board.read().clusters[0].heartbeat
            old.may_end.set()
            await new.began.wait()
            assert old.left.is_set()
            tasks.cancel_scope.cancel()
    assert heartbeat is not None
    assert clock() - heartbeat < timedelta(hours=1), "the snapshot makes progress"


async def test_clusters_that_exchange_their_places_wait_for_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, other, new, third = Slow(), Slow(), Slow(), Slow()
    held = loops()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            held.assign(place(("a", old, "x"), ("b", other, "y")), tasks)
            await old.began.wait()
            await other.began.wait()
            held.assign(place(("a", new, "y"), ("b", third, "x")), tasks)
            await anyio.wait_all_tasks_blocked()
            assert not new.began.is_set()
            assert not third.began.is_set()
            old.may_end.set()
            await old.left.wait()
            await anyio.wait_all_tasks_blocked()
            assert not new.began.is_set()
            other.may_end.set()
            await new.began.wait()
            await third.began.wait()
            tasks.cancel_scope.cancel()
    assert "no longer configured" not in capsys.readouterr().err


async def test_a_place_that_a_running_snapshot_still_uses_is_not_free() -> None:
    old, moved, new = Slow(), Slow(), Slow()
    held = loops()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            held.assign(place(("a", old, "x")), tasks)
            await old.began.wait()
            later = place(("a", moved, "y"))
            held.assign(later, tasks)
            held.assign({**later, **place(("b", new, "x"))}, tasks)
            await anyio.wait_all_tasks_blocked()
            assert not new.began.is_set()
            assert not moved.began.is_set()
            old.may_end.set()
            await new.began.wait()
            await moved.began.wait()
            tasks.cancel_scope.cancel()


async def test_a_cluster_at_another_place_of_the_file_keeps_its_slot_and_all_else() -> None:
    agent = Slow()
    board = StatusBoard.unread(clock)
    board.assign((ClusterStatus("a"),))
    late = ScheduleSpec(Cron("0 0 1 1 *"), phase=timedelta(minutes=8))
    held = loops(board)
    before = replace(serve(agent)["a"], timing=late)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            held.assign({"a": before}, tasks)
            await anyio.wait_all_tasks_blocked()
            moments = [board.read().clusters[0].next_due]
            for minutes in (5, 6):
                timing = replace(late, phase=timedelta(minutes=minutes))
                held.assign({"a": replace(before, timing=timing)}, tasks)
                await anyio.wait_all_tasks_blocked()
                moments.append(board.read().clusters[0].next_due)
            assert not agent.left.is_set()
            tasks.cancel_scope.cancel()
    first = moments[0] or clock()
    assert [first - one for one in moments if one] == [timedelta(minutes=n) for n in (0, 3, 2)]


async def test_only_a_changed_cluster_gets_its_service(capsys: pytest.CaptureFixture[str]) -> None:
    same, old, new = Slow(), Slow(), Slow()
    for one in (same, old, new):
        one.may_end.set()
    held = loops()
    before = serve(same, old)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            held.assign(before, tasks)
            await same.began.wait()
            held.assign({**serve(same, new), "a": before["a"]}, tasks)
            await new.began.wait()
            await anyio.wait_all_tasks_blocked()
            assert old.left.is_set()
            assert not same.left.is_set()
            tasks.cancel_scope.cancel()
    assert capsys.readouterr().err.count("The new configuration is in force.") == 1
