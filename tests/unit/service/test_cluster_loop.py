"""What a runner does between two runs, with an agent that only notes what is asked of it."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import redirect_stderr
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, Self

import anyio
import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.core.schedules import timetable
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state import freshness
from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.core.state.report import Delivery, Report
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError, Denied, LeaseHeld, NotLeader, Unreachable
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.systemd import SystemdNotifier
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_loop import ClusterLoop
from raft_snapshot_agent.service.login import renew_token, try_login
from raft_snapshot_agent.service.publisher import describe

pytestmark = pytest.mark.anyio

EVERY = timedelta(seconds=10)
SKIPS = "skipping"


class Agent:
    """Stores nothing, and says what the storages hold."""

    def __init__(self, *endings: AgentError | None, lease: Lease | None = None) -> None:
        self.endings = list(endings)
        self.lease = lease
        self.held: dict[str, list[datetime]] = {"disk": [], "s3": []}
        self.served: list[frozenset[str]] = []
        self.private = frozenset({"disk"})
        self.destinations = [Destination(name, MemoryStorage()) for name in self.held]
        self.surveys: dict[str, Survey] = {}
        self.received = 0
        self.spool = SimpleNamespace(free=None)
        forever = partial(float, "inf")
        session = SimpleNamespace(
            seconds_to_renewal=forever,
            seconds_to_end=forever,
            left_behind=[],
            inherit=lambda before: None,
        )
        self.cluster = SimpleNamespace(
            session=session,
            keep_token=lambda: None,
            is_login_check_due=True,
            try_login=lambda: False,
        )

    async def run_once(self, names: Collection[str], *, again: Collection[str] = ()) -> Report:
        now = datetime.now(UTC)
        error = self.endings.pop(0) if self.endings else None
        if error is None:
            self.served.append(frozenset(names))
            for name in names:
                self.held[name].append(now)
        return Report("run", now, now, error=error)

    async def list_taken(self) -> Mapping[str, list[datetime]]:
        return self.held

    async def sweep(self) -> dict[str, str]:
        return {}

    async def leave(self) -> None: ...


class Register:
    """Another agent holds the lease until it lets go."""

    location = "nowhere"

    def __init__(self) -> None:
        self.found = Versioned(Record("another", 1, 0, 60.0), "1")

    async def read(self) -> Versioned:
        return self.found

    async def write(self, record: Record, expected: str | None) -> str | None:
        if expected != self.found.version:
            return None
        self.found = Versioned(record, str(int(self.found.version) + 1))
        return self.found.version

    async def close(self) -> None: ...


async def run(agent: Any, until: Any) -> str:
    """Let a runner run until something is so; return what it said."""
    said = io.StringIO()
    with redirect_stderr(said), anyio.fail_after(8):
        service = ActiveCluster(agent, ScheduleSpec(Every(EVERY)), configure("text", "info"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ClusterLoop(service, SystemdNotifier({})).run)
            while not until(said.getvalue()):  # noqa: ASYNC110 - a log is no event
                await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
    return said.getvalue()


async def test_who_stood_by_looks_again_within_the_slot_and_says_so_once() -> None:
    agent = Agent(NotLeader("no"), NotLeader("no"))
    agent.held = {"disk": [datetime.now(UTC) - EVERY], "s3": []}
    said = await run(agent, lambda _: agent.served)
    assert agent.served == [{"disk", "s3"}]
    assert said.count(SKIPS) == 1


async def test_who_takes_over_serves_what_one_storage_alone_still_lacks() -> None:
    lease_store = Register()
    agent = Agent(LeaseHeld("no"), lease=Lease(lease_store, "me", timedelta(seconds=2)))
    began = datetime.now(UTC)
    agent.held = {name: [began - EVERY] for name in agent.held}

    def goes(said: str) -> list[frozenset[str]]:
        if SKIPS in said and not lease_store.found.record.free:
            agent.held["disk"].append(began)  # and then it was gone
            if lease_store.found.record.holder == "another":
                lease_store.found = Versioned(lease_store.found.record.released(), "2")
        return agent.served

    await run(agent, goes)
    assert agent.served == [{"s3"}]


async def test_who_only_ever_stands_by_says_that_nobody_takes_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freshness, "_LEAST_GRACE", timedelta(0))
    monkeypatch.setattr(freshness, "_MOST_GRACE", timedelta(seconds=1))
    agent = Agent(*(NotLeader("a standby") for _ in range(100)))
    agent.held = {"disk": [], "s3": [datetime.now(UTC) - EVERY * 5]}
    said = await run(agent, lambda said: "overdue" in said)
    assert agent.served == []
    assert said.count("overdue and no agent takes it") == 1


async def test_a_login_that_would_fail_is_published_until_it_would_not() -> None:
    agent = Agent()
    refused = [Denied("permission denied")]

    def try_login() -> bool:
        if refused:
            raise refused[0]
        return True

    agent.cluster.try_login = try_login
    agent.cluster.session.seconds_to_renewal = partial(float, "0.01")
    now = datetime.now(UTC)
    board = StatusBoard(AgentStatus("", now, now, (ClusterStatus(""),)))
    with redirect_stderr(io.StringIO()), anyio.fail_after(60):
        service = ActiveCluster(agent, ScheduleSpec(Every(EVERY)), configure("text", "info"))  # type: ignore[arg-type]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ClusterLoop(service, SystemdNotifier({}), board=board).run)
            while "permission denied" not in board.read().clusters[0].login_failing:
                await board.wait_for_change(board.version)
            refused.clear()
            while board.read().clusters[0].login_failing:
                await board.wait_for_change(board.version)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("is_tested", [True, False])
async def test_a_reload_tests_a_login_that_would_fail(*, is_tested: bool) -> None:
    def refuse() -> bool:
        raise Denied("permission denied")

    old, new = Gated.idle(), Gated.idle()
    tested, may_end = threading.Event(), threading.Event()

    def test() -> bool:
        tested.set()
        return may_end.wait(20)

    old.cluster.try_login = refuse
    old.cluster.session.seconds_to_renewal = partial(float, "0.01")
    new.cluster.is_login_check_due, new.cluster.try_login = is_tested, test
    async with Loop(old, board=(board := published())) as loop:
        await loop.comes(lambda: board.read().clusters[0].login_failing)
        loop.change(new)
        if is_tested:
            await loop.comes(tested.is_set)
            assert board.read().clusters[0].login_failing, "it is not known yet"
            may_end.set()
        await loop.says("Resolved: A new login would fail: permission denied")
        assert not board.read().clusters[0].login_failing


async def test_an_old_login_that_is_refused_after_a_reload_says_nothing() -> None:
    began, may_end = threading.Event(), threading.Event()

    def refuse() -> bool:
        began.set()
        may_end.wait(20)
        raise Denied("permission denied")

    old, new = Gated.idle(), Gated.idle()
    old.cluster.try_login = refuse
    old.cluster.session.seconds_to_renewal = partial(float, "0.01")
    async with Loop(old, board=(board := published())) as loop:
        await loop.comes(began.is_set)
        loop.change(new)
        await loop.says("The new configuration is in force.")
        may_end.set()
        await loop.settles()
    assert not board.read().clusters[0].login_failing
    assert "permission denied" not in loop.said.getvalue()


STORAGES = (StorageStatus("disk", "local"), StorageStatus("s3", "s3"))


def published() -> StatusBoard:
    now = datetime.now(UTC)
    return StatusBoard(AgentStatus("", now, now, (ClusterStatus(""),)))


async def test_tokens_that_cannot_be_revoked_are_told_once() -> None:
    agent = Agent()
    agent.cluster.session.left_behind = ["the server does not let the agent revoke its token"]
    said = await run(agent, lambda said: "revoke its token" in said)
    assert said.count("revoke its token") == 1
    assert "token_trouble" in said


async def test_what_another_agent_stored_ends_the_failure_of_this_one() -> None:
    agent = Agent(*(Unreachable("cannot reach the node here") for _ in range(9)))
    now = datetime.now(UTC)
    board = StatusBoard(AgentStatus("", now, now, (ClusterStatus(""),)))
    said = io.StringIO()
    with redirect_stderr(said), anyio.fail_after(60):
        service = ActiveCluster(agent, ScheduleSpec(Every(EVERY)), configure("text", "info"))  # type: ignore[arg-type]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ClusterLoop(service, SystemdNotifier({}), board=board).run)
            while board.read().clusters[0].failing is None:
                await board.wait_for_change(board.version)
            assert board.read().clusters[0].role is Role.WORKS
            agent.held["s3"].append(datetime.now(UTC))
            while board.read().clusters[0].failing is not None:
                await board.wait_for_change(board.version)
            tasks.cancel_scope.cancel()
    assert board.read().clusters[0].role is Role.STANDS_BY
    assert "Resolved: Snapshot failed: cannot reach the node here" in said.getvalue()


async def test_a_folder_of_this_host_fails_no_longer_when_another_agent_takes_over() -> None:
    agent = Full(None, LeaseHeld("another holds the lease"))
    now = datetime.now(UTC)
    board = StatusBoard(AgentStatus("", now, now, (ClusterStatus("", STORAGES),)))
    async with Loop(agent, board=board) as loop:
        await loop.says("Could not store the snapshot in disk: full")
        loop.loop.take_now()
        await loop.says("Resolved: Could not store the snapshot in disk: full")
        assert 'reason="this agent stands by"' in loop.said.getvalue()
    assert board.read().clusters[0].storages[0].failing is None


class Full(Agent):
    """The folder of this host takes no snapshot."""

    async def run_once(self, names: Collection[str], *, again: Collection[str] = ()) -> Report:
        report = await super().run_once(names, again=again)
        if report.error is not None:
            return report
        results = (Delivery("disk", "local", error=Denied("full")), Delivery("s3", "s3"))
        return replace(report, deliveries=results)


class Refused(Agent):
    """One storage refuses the snapshots of this agent."""

    async def run_once(self, names: Collection[str], *, again: Collection[str] = ()) -> Report:
        report = await super().run_once(names, again=again)
        results = (Delivery("disk", "local"), Delivery("s3", "s3", error=Denied("no")))
        return replace(report, deliveries=results)

    def show(self, name: str, taken_at: datetime) -> None:
        """Let a storage list a snapshot."""
        self.held[name].append(taken_at)
        found = [Stored("a.snap", taken_at, 10, 1, verified=True)]
        self.surveys[name] = Survey.of(found, datetime.now(UTC))


async def test_a_snapshot_that_is_there_after_all_ends_the_failure_of_its_storage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timetable, "_SOONEST", timedelta(seconds=0.5))
    monkeypatch.setattr(timetable, "_LATEST", timedelta(seconds=0.5))
    agent = Refused()
    said = io.StringIO()
    with redirect_stderr(said), anyio.fail_after(60):
        service = ActiveCluster(
            agent,  # type: ignore[arg-type]
            ScheduleSpec(Every(timedelta(hours=1))),
            configure("text", "info"),
        )
        now = datetime.now(UTC)
        board = StatusBoard(AgentStatus("", now, now, (describe(service, now),)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ClusterLoop(service, SystemdNotifier({}), board=board).run)
            while (failing := board.read().clusters[0].storages[1].failing) is None:
                await board.wait_for_change(board.version)
            agent.show("s3", failing.since)
            while board.read().clusters[0].storages[1].failing is not None:
                await board.wait_for_change(board.version)
            tasks.cancel_scope.cancel()
    assert "s3 has this snapshot after all" in said.getvalue()
    assert "Resolved: Could not store the snapshot in s3: no" in said.getvalue()


async def test_what_was_wrong_with_a_storage_ends_when_it_is_removed() -> None:
    async with Loop(Refused()) as loop:
        await loop.says("Could not store the snapshot in s3: no")
        new = Gated.idle()
        loop.change(new)
        await loop.says("The new configuration is in force.")
        assert "Resolved" not in loop.said.getvalue()
        other = Gated.idle()
        other.destinations = other.destinations[:1]
        del other.held["s3"]
        loop.change(other)
        await loop.says("Resolved: Could not store the snapshot in s3: no")


async def test_what_drills_and_scrubs_found_ends_when_nothing_watches_it_any_more() -> None:
    def configured(loop: Loop, *storages: str, watched: bool) -> ActiveCluster:
        agent = Gated.idle()
        agent.destinations = [one for one in agent.destinations if one.name in storages]
        agent.held = {name: agent.held[name] for name in storages}
        plan: Any = SimpleNamespace(destinations=agent.destinations) if watched else None
        return replace(loop.service(agent), scrubs=plan, drills=plan)

    async with Loop(Gated.idle()) as loop:
        await loop.says("Next snapshot at")
        journal, now = loop.loop.context.journal, datetime.now(UTC)
        for storage in ("disk", "s3"):
            for event in (LogEvent.SCRUB_FAILED, LogEvent.SCRUB_TROUBLE):
                journal.tell(event, [f"{event} of {storage}"], now, storage=storage)
        journal.tell(LogEvent.DRILL_NOT_HELD, ["no drill"], now)
        loop.loop.change(configured(loop, "disk", "s3", watched=True))
        await loop.says("The new configuration is in force.")
        assert "Resolved" not in loop.said.getvalue()

        loop.loop.change(configured(loop, "disk", watched=True))
        await loop.says("Resolved: scrub_failed of s3")
        await loop.says("Resolved: scrub_trouble of s3")
        await loop.settles()
        assert loop.said.getvalue().count("Resolved") == 2

        loop.loop.change(configured(loop, "disk", watched=False))
        for text in ("scrub_failed of disk", "scrub_trouble of disk", "no drill"):
            await loop.says(f"Resolved: {text}")


class Gated(Agent):
    """An agent whose runs last until the test lets them end."""

    def __init__(self, *endings: AgentError | None, lease: Lease | None = None) -> None:
        super().__init__(*endings, lease=lease)
        self.began = anyio.Event()
        self.may_end = anyio.Event()
        self.runs = 0
        self.left = 0

    async def run_once(self, names: Collection[str], *, again: Collection[str] = ()) -> Report:
        self.runs += 1
        self.began.set()
        await self.may_end.wait()
        return await super().run_once(names, again=again)

    async def leave(self) -> None:
        self.left += 1

    @classmethod
    def ready(cls, *endings: AgentError | None) -> Gated:
        """Return one whose runs end at once."""
        agent = cls(*endings)
        agent.may_end.set()
        return agent

    @classmethod
    def idle(cls) -> Gated:
        """Return one for which nothing is due for a long time."""
        agent = cls.ready()
        now = datetime.now(UTC)
        agent.held = {name: [now] for name in agent.held}
        return agent


class Alarmed(Gated):
    """An agent whose snapshots are those of another cluster."""

    why = "the cluster is another"

    async def run_once(self, names: Collection[str], *, again: Collection[str] = ()) -> Report:
        report = await super().run_once(names, again=again)
        deliveries = tuple(Delivery(name, "memory", alarm=self.why) for name in sorted(names))
        return replace(report, deliveries=deliveries)


class Loop:
    """A loop that runs while the block does, and what it said."""

    def __init__(
        self,
        agent: Any,
        every: timedelta = timedelta(hours=1),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        board: StatusBoard | None = None,
    ) -> None:
        self.said = io.StringIO()
        self.every = every
        self.ended = anyio.Event()
        with redirect_stderr(self.said):
            self.loop = ClusterLoop(
                self.service(agent), SystemdNotifier({}), clock=clock, board=board
            )

    def service(self, agent: Any) -> ActiveCluster:
        return ActiveCluster(agent, ScheduleSpec(Every(self.every)), configure("text", "info"))

    def change(self, agent: Any) -> None:
        self.loop.change(self.service(agent))

    async def _run(self) -> None:
        await self.loop.run()
        self.ended.set()

    async def __aenter__(self) -> Self:
        self._stack = contextlib.AsyncExitStack()
        self._stack.enter_context(redirect_stderr(self.said))
        self._stack.enter_context(anyio.fail_after(20))
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._tasks.start_soon(self._run)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._stack.aclose()

    async def says(self, text: str) -> None:
        await self.comes(lambda: text in self.said.getvalue())

    async def comes(self, so: Any) -> None:
        while not so():  # noqa: ASYNC110 - what others do is no event
            await anyio.sleep(0.005)

    async def settles(self) -> None:
        """Wait until it has handled all that it was told."""
        before = -1
        while before != (before := len(self.said.getvalue())):  # noqa: ASYNC110 - likewise
            await anyio.sleep(0.1)


async def test_a_drill_by_hand_that_passes_ends_a_failure_without_a_schedule_of_drills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "raft_snapshot_agent.service.cluster_loop._LOOK_EVERY", timedelta(seconds=0.1)
    )
    agent, now = Gated.idle(), datetime.now(UTC)
    failed = DrillStatus("a.snap", False, now - timedelta(days=1), reason="no key")
    board = published()
    board.change("", lambda status: replace(status, storages=STORAGES, drill=failed))
    async with Loop(agent, board=board) as loop:
        await loop.says("Next snapshot at")
        note = DrillNote("a.snap", True, now.isoformat(), 9.0)
        agent.surveys["s3"] = replace(Survey.of([], now), drill=note)
        await loop.comes(lambda: (drill := board.read().clusters[0].drill) and drill.passed)
    assert agent.runs == 0


async def test_an_alarm_that_was_acknowledged_by_hand_ends_before_the_next_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "raft_snapshot_agent.service.cluster_loop._LOOK_EVERY", timedelta(seconds=0.1)
    )
    agent, now = Alarmed.idle(), datetime.now(UTC)
    board = published()
    board.change("", lambda status: replace(status, storages=STORAGES))
    agent.surveys |= {one.name: Survey.of([], now) for one in STORAGES}

    def alarms() -> list[str]:
        return [one.alarm for one in board.read().clusters[0].storages]

    async with Loop(agent, board=board) as loop:
        await loop.says("Next snapshot at")
        loop.loop.take_now()
        await loop.comes(lambda: alarms() == [Alarmed.why] * 2)
        agent.surveys["s3"] = Survey.of([], now).noted("", 0)
        await loop.says("Resolved: Retention suspended for s3")
    assert alarms() == [Alarmed.why, ""]
    assert "Resolved: Retention suspended for disk" not in loop.said.getvalue()
    assert agent.runs == 1


async def test_signals_during_a_snapshot_are_one_more_snapshot() -> None:
    agent = Gated()
    async with Loop(agent) as loop:
        await agent.began.wait()
        loop.loop.take_now()
        loop.loop.take_now()
        agent.may_end.set()
        await loop.comes(lambda: len(agent.served) == 2)
        await loop.settles()
    assert agent.runs == 2


async def test_two_configurations_during_a_snapshot_are_the_newer_one() -> None:
    old, never, new = Gated(), Gated.ready(), Gated.ready()
    async with Loop(old) as loop:
        await old.began.wait()
        loop.change(never)
        loop.change(new)
        assert not old.left
        old.may_end.set()
        await loop.comes(lambda: new.runs)
        await loop.settles()
    assert (old.runs, old.left, never.runs, new.runs) == (1, 1, 0, 1)
    assert loop.said.getvalue().count("The new configuration is in force.") == 1


async def test_a_configuration_ends_the_pause_after_a_failure() -> None:
    old, new = Gated.ready(*[AgentError("the server is down")] * 9), Gated.ready()
    async with Loop(old) as loop:
        await loop.says("Trying again in ")
        loop.change(new)
        await loop.comes(lambda: new.served)
    assert (old.runs, new.runs) == (1, 1)


async def test_what_a_signal_asked_for_is_taken_under_the_configuration_that_came_first() -> None:
    old, new = Gated.idle(), Gated.idle()
    old.endings = [AgentError("the server is down")] * 9
    async with Loop(old) as loop:
        await loop.says("Next snapshot at ")
        loop.loop.take_now()
        await loop.says("Trying again in ")
        loop.change(new)
        await loop.comes(lambda: new.served)
        await loop.settles()
    assert (old.runs, new.runs) == (1, 1)


async def test_what_a_signal_asked_for_is_taken_though_the_lease_was_acquired_first() -> None:
    lease_store = Register()
    agent = Gated.idle()
    agent.lease = Lease(lease_store, "me", timedelta(seconds=1))
    agent.endings = [AgentError("the server is down")]
    async with Loop(agent) as loop:
        await loop.says("Next snapshot at ")
        loop.loop.take_now()
        await loop.says("Trying again in ")
        lease_store.found = Versioned(lease_store.found.record.released(), "2")
        await loop.says("Acquired the lease")
        await loop.comes(lambda: agent.served)
        await loop.settles()
    assert agent.served == [{"disk", "s3"}]


async def test_who_is_retired_while_it_waits_ends() -> None:
    agent = Gated.idle()
    async with Loop(agent) as loop:
        await loop.says("Next snapshot at ")
        loop.loop.retire()
        await loop.ended.wait()
    assert (agent.runs, agent.left) == (0, 1)


async def test_who_is_retired_in_the_pause_after_a_failure_ends() -> None:
    agent = Gated.ready(*[AgentError("the server is down")] * 9)
    async with Loop(agent) as loop:
        await loop.says("Trying again in ")
        loop.loop.retire()
        await loop.ended.wait()
    assert (agent.runs, agent.left) == (1, 1)


@pytest.mark.parametrize("retire_first", [True, False])
async def test_who_is_retired_ends_its_snapshot_and_begins_nothing_else(retire_first: bool) -> None:
    agent, new = Gated(), Gated.ready()
    async with Loop(agent) as loop:
        await agent.began.wait()
        if retire_first:
            loop.loop.retire()
        loop.change(new)
        loop.loop.take_now()
        loop.loop.retire()
        await loop.settles()
        assert not loop.ended.is_set()
        agent.may_end.set()
        await loop.ended.wait()
    assert agent.served == [{"disk", "s3"}]
    assert new.runs == 0


async def test_who_takes_over_is_no_longer_in_doubt() -> None:
    """What it was told by who held the lease is over; what it now finds is its own to serve."""
    lease_store = Register()
    agent = Gated.ready(LeaseHeld("no"), None)
    agent.lease = Lease(lease_store, "me", timedelta(seconds=1))
    async with Loop(agent) as loop:
        await loop.says(SKIPS)
        lease_store.found = Versioned(lease_store.found.record.released(), "2")
        await loop.comes(lambda: agent.served)
    assert "Acquired the lease" in loop.said.getvalue()


async def test_a_defect_ends_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_snapshot_agent.service.cluster_loop.SLICE", 0.05)
    agent = Gated.idle()
    sweep, fails = agent.sweep, [True]

    async def broken() -> dict[str, str]:
        if fails:
            raise LookupError
        return await sweep()

    monkeypatch.setattr(agent, "sweep", broken)
    async with Loop(agent) as loop:
        await loop.says("The schedule failed and starts again")
        loop.loop.take_now()
        await anyio.sleep(0.2)
        fails.clear()
        await loop.comes(lambda: agent.served)
        fails.append(True)
        other = Gated.idle()
        monkeypatch.setattr(other, "sweep", broken)
        loop.change(other)
        await loop.comes(lambda: loop.said.getvalue().count("in force") == 1)
        loop.loop.retire()
        await loop.ended.wait()
    assert agent.runs == 1


async def test_a_token_that_is_good_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[object] = []

    async def note(work: object, *, abandon: bool) -> None:
        threads.append((work, abandon))

    monkeypatch.setattr("raft_snapshot_agent.service.login.in_thread", note)
    session = SimpleNamespace(seconds_to_renewal=partial(float, "0.1"))
    cluster: Any = SimpleNamespace(session=session, is_login_check_due=False)
    assert await renew_token(cluster) == []
    assert await try_login(cluster) is None
    assert threads == []


class SlowLease:
    """Is looked at slowly, and notes when it is looked at and released."""

    trouble = held_lease = None

    def __init__(self) -> None:
        self.began, self.goes_on, self.notes = anyio.Event(), anyio.Event(), list[str]()

    async def look(self) -> float:
        self.notes.append("look")
        self.began.set()
        await self.goes_on.wait()
        self.notes.append("looked")
        return 0.01


async def test_a_look_at_the_lease_ends_before_a_new_configuration_releases_it() -> None:
    lease: Any = SlowLease()
    old, new = Agent(), Agent()
    old.lease, log = lease, configure("text", "error")

    async def leave() -> None:
        lease.notes.append("released")

    old.leave = leave  # type: ignore[method-assign]
    services = [ActiveCluster(one, ScheduleSpec(Every(EVERY)), log) for one in (old, new)]  # type: ignore[arg-type]
    loop = ClusterLoop(services[0], SystemdNotifier({}))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loop._begin_lease, tasks)
            await lease.began.wait()
            tasks.start_soon(loop._switch_to, services[1])
            await anyio.wait_all_tasks_blocked()
            assert lease.notes == ["look"]
            lease.goes_on.set()
    assert lease.notes == ["look", "looked", "released"]


async def test_a_look_that_finds_no_thread_is_a_trouble_of_the_lease() -> None:
    class NoThreads(Register):
        async def read(self) -> Versioned:
            raise RuntimeError("can't start new thread")

    lease = Lease(NoThreads(), "me", timedelta(seconds=30))
    await lease.look()
    assert "no further thread can be started" in str(lease.trouble)


class Clock:
    """A wall clock that the test sets."""

    def __init__(self, ahead: timedelta = timedelta(0)) -> None:
        self.ahead = ahead

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Dated(Agent):
    """An agent that dates its snapshots by the clock of the test."""

    def __init__(self, clock: Clock, *endings: AgentError | None) -> None:
        super().__init__(*endings)
        self.clock = clock

    async def run_once(self, names: Collection[str], *, again: Collection[str] = ()) -> Report:
        report = await super().run_once(names, again=again)
        now = self.clock()
        if report.error is None:
            self.held = {name: [now] for name in self.held}
        return Report("run", now, now, error=report.error)


@pytest.fixture
def quick_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_snapshot_agent.service.events.SLICE", 0.01)


@pytest.mark.usefixtures("quick_slices")
@pytest.mark.parametrize("fails", [False, True])
async def test_a_clock_that_is_set_back_delays_no_snapshot(*, fails: bool) -> None:
    clock = Clock(timedelta(days=2))
    agent = Dated(clock, *([AgentError("the server is down")] if fails else []))
    async with Loop(agent, clock=clock) as loop:
        if fails:
            await loop.says("Trying again in ")
        else:
            await loop.comes(lambda: agent.served)
        before = len(agent.served)
        clock.ahead = timedelta(0)
        await loop.comes(lambda: len(agent.served) > before)
    text = loop.said.getvalue()
    assert len(re.findall(r"The wall clock was set back by (?:1d23h|2d)", text)) == 1
    assert "event=clock_set_back" in text


@pytest.mark.usefixtures("quick_slices")
async def test_a_clock_that_is_set_forward_counts_no_millions_of_slots() -> None:
    clock = Clock()
    agent = Dated(clock)
    async with Loop(agent, clock=clock) as loop:
        await loop.comes(lambda: agent.served)
        clock.ahead = timedelta(days=3650)
        await loop.says("Scheduled snapshots skipped during the last run: at least 1000.")
    assert len(agent.served) == 2
    text = loop.said.getvalue()
    assert len(re.findall(r"The wall clock was set forward by (?:3649d23h|3650d):", text)) == 1
    assert "event=clock_set_forward" in text
