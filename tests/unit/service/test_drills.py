"""When drills are held, and by whom, with a plan that only notes that it was asked."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from raft_snapshot_agent.core.alarms.problems import ProblemKind, list_problems
from raft_snapshot_agent.core.schedules.schedule import Cron, Every, Schedule
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.state.drill_status import DrillSchedule, DrillStatus
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import OngoingFailure
from raft_snapshot_agent.errors import (
    ConfigError,
    DrillFailed,
    NotLeader,
    SnapshotNotFound,
    StorageError,
)
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.progress import Progress
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.restore.rehearsal import DrillOutcome
from raft_snapshot_agent.service import drills
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_context import ClusterContext
from raft_snapshot_agent.service.cluster_tasks import ClusterTasks
from raft_snapshot_agent.service.drill_plan import DrillPlan
from raft_snapshot_agent.service.drills import DrillLoop

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
SERVER = "openbao 2.7.2"


class Plan:
    """Drills that take no time."""

    def __init__(self, *endings: Exception | None, schedule: Schedule | None = None) -> None:
        self.endings = list(endings)
        self.timing = ScheduleSpec(schedule or Every(24 * HOUR))
        self.noted: datetime | None = None
        self.passed = False
        self.held: list[datetime] = []
        self.trouble: StorageError | None = None

    async def find_newest(self, now: datetime) -> DrillNote | None:
        if self.trouble is not None:
            raise self.trouble
        return None if self.noted is None else noted_at(self.noted, passed=self.passed)

    async def run(self, tell: Callable[[str], None]) -> DrillOutcome:
        self.held.append(World.now)
        ending = self.endings.pop(0) if self.endings else None
        if ending is not None and not isinstance(ending, DrillFailed):
            raise ending
        note = DrillNote("a.snap", ending is None, "2026-11-23T15:30:00Z", 9.0, proved="active")
        return DrillOutcome(note, ending)


def noted_at(when: datetime, *, passed: bool = False) -> DrillNote:
    """What lies beside a snapshot after a drill."""
    at = when.isoformat()
    return DrillNote("noted.snap", passed, at, 9.0, server=SERVER, reason="no key")


class World:
    """A clock that goes when somebody sleeps, and ends after some days."""

    now = NOW
    days: float = 3

    @classmethod
    async def sleep(cls, seconds: float) -> None:
        cls.now += timedelta(seconds=seconds)
        if cls.now > NOW + cls.days * 24 * HOUR:
            raise TimeoutError
        await anyio.lowlevel.checkpoint()


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    World.now = NOW
    monkeypatch.setattr(drills, "anyio", SimpleNamespace(sleep=World.sleep))


class Cluster:
    def __init__(self, *, leads: bool = True) -> None:
        self.leads = leads

    def find_leader_for_this_agent(self) -> None:
        if not self.leads:
            raise NotLeader("another host's")


def context_of(board: StatusBoard) -> ClusterContext:
    journal = Journal(configure("text", "info"))
    return ClusterContext(journal, Progress(), board, lambda: World.now)


def drill_tasks() -> ClusterTasks[DrillPlan]:
    board = StatusBoard.unread(lambda: World.now)
    return ClusterTasks(lambda one: one.drills, DrillLoop, lambda _name: context_of(board))


async def days_with(
    plan: Plan, *, leads: bool = True, lease: Any = None, board: StatusBoard | None = None
) -> str:
    """Let some days go by; return what the log says of them."""
    said = io.StringIO()
    with redirect_stderr(said):
        agent = SimpleNamespace(cluster=Cluster(leads=leads), lease=lease)
        service: Any = SimpleNamespace(name="", agent=agent, log=configure("text", "info"))
        board = board or StatusBoard.unread(lambda: World.now)
        loop = DrillLoop(service, plan, context_of(board), anyio.Lock())  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            await loop.run()
    return said.getvalue()


async def test_one_is_held_in_each_slot() -> None:
    plan = Plan()
    said = await days_with(plan)

    assert plan.held == [NOW + day * 24 * HOUR for day in range(4)]
    assert said.count("The drill of a.snap passed: active") == 4


async def test_the_time_of_day_is_kept() -> None:
    plan = Plan(schedule=Cron("0 3 * * *", UTC))
    plan.noted = NOW - HOUR
    await days_with(plan)

    assert plan.held == [datetime(2026, 11, day, 3, tzinfo=UTC) for day in (24, 25, 26)]


async def test_a_restart_holds_none_that_was_held() -> None:
    plan = Plan()
    plan.noted = NOW - HOUR
    await days_with(plan)

    assert plan.held[0] == NOW + 23 * HOUR


async def test_one_that_fails_is_red_and_the_next_is_held_all_the_same() -> None:
    plan = Plan(DrillFailed("canary 1 of 1 is different"), OSError("no disk"))
    said = await days_with(plan)

    assert len(plan.held) == 4
    lines = [line for line in said.splitlines() if "error" in line.lower()]
    assert "The drill of a.snap failed: canary 1 of 1 is different" in lines[0]
    assert "The drill could not be run" in lines[1]


async def test_one_that_cannot_be_run_is_part_of_the_status_until_one_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = told_of()
    monkeypatch.setattr(World, "days", 1.5)
    await days_with(Plan(ConfigError("no server"), ConfigError("no server")), board=board)
    (problem,) = list_problems(board.read())
    assert problem.kind is ProblemKind.DRILL_OVERDUE
    assert "no server" in problem.text
    assert problem.since == NOW

    World.now, board = NOW, told_of()
    await days_with(Plan(ConfigError("no server")), board=board)
    assert list_problems(board.read()) == ()


async def test_one_that_cannot_be_run_is_logged_once_an_hour_and_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(World, "days", 1)
    plan = Plan(*[ConfigError("no server")] * 90, schedule=Every(timedelta(minutes=1)))
    said = await days_with(plan)

    lines = [line for line in said.splitlines() if "could not be run" in line]
    assert len(lines) == 3  # at once, after an hour, and that it is over
    assert "Resolved" in lines[-1]


async def test_one_that_nobody_runs_is_overdue_after_two_intervals() -> None:
    board = told_of()
    await days_with(Plan(*[SnapshotNotFound("none")] * 1000), board=board)

    (problem,) = list_problems(board.read())
    assert problem.kind is ProblemKind.DRILL_OVERDUE
    assert problem.since == NOW + 49 * HOUR


async def test_a_daemon_that_was_stopped_for_long_has_a_slot_to_make_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, board = Plan(schedule=Cron("0 3 * * *", UTC)), told_of()
    plan.timing = replace(plan.timing, catch_up=False)
    plan.noted = NOW - 30 * 24 * HOUR
    monkeypatch.setattr(World, "days", 0)
    await days_with(plan, board=board)

    kinds = {one.kind for one in list_problems(board.read())}
    assert ProblemKind.DRILL_OVERDUE not in kinds


async def test_who_stands_by_does_not_miss_any() -> None:
    before = DrillSchedule(NOW, NOW, OngoingFailure("no server", NOW))
    cluster = ClusterStatus("", drills=before)
    board = StatusBoard(AgentStatus("1", NOW, NOW, (cluster,)), lambda: World.now)
    await days_with(Plan(), leads=False, board=board)
    assert list_problems(board.read()) == ()


async def test_who_does_not_work_holds_none() -> None:
    for standing_by in ({"leads": False}, {"lease": SimpleNamespace(held_lease=None)}):
        World.now, plan = NOW, Plan()
        said = await days_with(plan, **standing_by)
        assert (plan.held, said) == ([], "")


def told_of(drill: DrillStatus | None = None) -> StatusBoard:
    cluster = ClusterStatus("", drill=drill)
    return StatusBoard(AgentStatus("1", NOW, NOW, (cluster,)), lambda: World.now)


def shown(board: StatusBoard) -> DrillStatus | None:
    return board.read().clusters[0].drill


async def test_what_was_noted_before_a_restart_is_known_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, board = Plan(), told_of()
    plan.noted = NOW - HOUR
    monkeypatch.setattr(World, "days", 0)
    await days_with(plan, board=board)

    assert plan.held == []
    assert shown(board) == DrillStatus("noted.snap", False, NOW - HOUR, 9.0, "no key", SERVER)


async def test_what_was_held_here_is_part_of_the_status() -> None:
    board = told_of()
    await days_with(Plan(), board=board)

    told = shown(board)
    assert told is not None
    assert (told.snapshot, told.passed, told.proved) == ("a.snap", True, "active")


async def test_who_stands_by_raises_no_alarm_and_ends_those_it_raised() -> None:
    plan, silent = Plan(), told_of()
    plan.noted = NOW - HOUR
    await days_with(plan, leads=False, board=silent)
    assert shown(silent) is None

    before = DrillStatus("old.snap", False, NOW - 24 * HOUR, reason="no")
    for noted, tells in ((NOW - HOUR, "noted.snap"), (NOW - 48 * HOUR, "old.snap")):
        World.now, plan, board = NOW, Plan(), told_of(before)
        plan.noted = noted
        await days_with(plan, leads=False, board=board)
        told = shown(board)
        assert told is not None
        assert told.snapshot == tells


async def test_another_agents_drill_is_not_held_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan()
    plan.noted = NOW - HOUR

    async def meanwhile(seconds: float) -> None:
        await World.sleep(seconds)
        if World.now >= NOW + 22 * HOUR and plan.noted == NOW - HOUR:
            plan.noted = World.now

    monkeypatch.setattr(drills, "anyio", SimpleNamespace(sleep=meanwhile))
    await days_with(plan)

    assert plan.held[0] == NOW + 46 * HOUR


@pytest.mark.parametrize("ending", [DrillFailed("the keys do not open it"), ConfigError("no")])
async def test_one_by_hand_that_passes_ends_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, ending: Exception
) -> None:
    plan, board = Plan(ending, schedule=Every(7 * 24 * HOUR)), told_of()
    found: list[int] = []

    async def meanwhile(seconds: float) -> None:
        await World.sleep(seconds)
        if plan.noted is None and World.now >= NOW + 2 * HOUR:
            assert list_problems(board.read())
            plan.noted, plan.passed = World.now, True
        elif World.now >= NOW + 2 * HOUR + timedelta(minutes=6):
            found.append(len(list_problems(board.read())))

    monkeypatch.setattr(drills, "anyio", SimpleNamespace(sleep=meanwhile))
    said = await days_with(plan, board=board)

    assert set(found) == {0}
    assert shown(board) == DrillStatus("noted.snap", True, plan.noted or NOW, 9.0, "no key", SERVER)
    assert len(plan.held) == 1
    assert ("Resolved: The drill could not be run: no" in said) is isinstance(ending, ConfigError)


async def test_the_delay_of_a_slot_is_drawn_once_however_often_it_is_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the shortest of many would count."""
    drawn = iter([0.0, 0.5])  # and no third one
    monkeypatch.setattr(drills, "random", SimpleNamespace(random=lambda: next(drawn)))
    monkeypatch.setattr(World, "days", 1.4)
    plan = Plan(DrillFailed("no"), schedule=Every(24 * HOUR))
    plan.timing = replace(plan.timing, jitter=20 * HOUR)
    await days_with(plan, board=told_of())
    assert plan.held == [NOW]


async def test_it_waits_while_there_is_no_snapshot_or_nobody_tells() -> None:
    none_yet = Plan(SnapshotNotFound("no storage holds a snapshot"))
    said = await days_with(none_yet)
    assert none_yet.held[1] - none_yet.held[0] < HOUR
    assert "could not" not in said

    World.now, silent = NOW, Plan()
    silent.trouble = StorageError("down")
    await days_with(silent)
    assert silent.held == []


async def test_a_new_configuration_gives_up_the_drills_of_the_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drills, "anyio", anyio)
    begun, ended = anyio.Event(), anyio.Event()

    class Long(Plan):
        async def run(self, tell: Callable[[str], None]) -> DrillOutcome:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()
            raise AssertionError

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            held = drill_tasks()
            held.assign([serve("", Long())], tasks)
            await begun.wait()
            held.assign([serve("", None)], tasks)
            await ended.wait()


def serve(name: str, plan: Plan | None) -> Any:
    agent: Any = SimpleNamespace(cluster=Cluster(), lease=None)
    drills: Any = plan
    return ActiveCluster(
        agent, ScheduleSpec(Every(24 * HOUR)), configure("text", "info"), name=name, drills=drills
    )


async def test_one_runs_at_a_time_and_goes_on_under_an_equal_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drills, "anyio", anyio)
    running = most = done = 0
    may_end, ended = anyio.Event(), anyio.Event()

    class Long(Plan):
        async def run(self, tell: Callable[[str], None]) -> DrillOutcome:
            nonlocal running, most, done
            running += 1
            most = max(most, running)
            await may_end.wait()
            running -= 1
            done += 1
            if done == 4:
                ended.set()
            return await super().run(tell)

    services = [serve(name, Long()) for name in ("a", "b", "c", "d")]
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            held = drill_tasks()
            held.assign(services, tasks)
            await until(lambda: running == 1)
            await anyio.wait_all_tasks_blocked()
            held.assign(services, tasks)
            await anyio.wait_all_tasks_blocked()
            assert (running, done) == (1, 0)
            may_end.set()
            await ended.wait()
            tasks.cancel_scope.cancel()
    assert most == 1


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - it begins in a thread
        await anyio.sleep(0.01)


async def test_a_cluster_without_snapshots_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drills, "anyio", anyio)
    none_yet, other = Plan(SnapshotNotFound("no storage holds a snapshot")), Plan()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            drill_tasks().assign([serve("a", none_yet), serve("b", other)], tasks)
            await until(lambda: bool(none_yet.held and other.held))
            tasks.cancel_scope.cancel()


async def test_a_clock_that_is_set_back_delays_none(monkeypatch: pytest.MonkeyPatch) -> None:
    back = timedelta(days=4)
    plan, steps = Plan(), iter([back])

    async def sleep(seconds: float) -> None:
        await World.sleep(seconds)
        if World.now >= NOW + HOUR:
            World.now -= next(steps, timedelta(0))

    monkeypatch.setattr(drills, "anyio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(World, "days", 1)
    await days_with(plan)

    assert plan.held[0] == NOW
    assert NOW + HOUR - back <= plan.held[1] < NOW + 2 * HOUR - back
