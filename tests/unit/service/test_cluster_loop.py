"""What a runner does between two runs, with an agent that only notes what is asked of it."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from contextlib import redirect_stderr
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from raft_snapshot_agent.core import freshness
from raft_snapshot_agent.core.lease import Record, Versioned
from raft_snapshot_agent.core.report import Report
from raft_snapshot_agent.core.schedule import Every
from raft_snapshot_agent.core.timetable import ScheduleSpec
from raft_snapshot_agent.errors import AgentError, LeaseHeld, NotLeader
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.systemd import Notifier
from raft_snapshot_agent.service.cluster_loop import ClusterLoop
from raft_snapshot_agent.service.cluster_service import ClusterService

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
        self.destinations = [SimpleNamespace(name=name, timing=None) for name in self.held]
        session = SimpleNamespace(seconds_to_renewal=lambda: float("inf"))
        self.cluster = SimpleNamespace(
            session=session, keep_token=lambda: None, try_login=lambda: False
        )

    async def run_once(self, names: Collection[str], *, again: Collection[str] = ()) -> Report:
        now = datetime.now(UTC)
        error = self.endings.pop(0) if self.endings else None
        if error is None:
            self.served.append(frozenset(names))
            for name in names:
                self.held[name].append(now)
        return Report("run", now, now, error=error)

    async def taken(self) -> Mapping[str, list[datetime]]:
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
        service = ClusterService(agent, ScheduleSpec(Every(EVERY)), configure("text", "info"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ClusterLoop(service, Notifier({})).run)
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
