"""Statuses as the loops would publish them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.freshness import Census, DueTime
from raft_snapshot_agent.core.state.holding import Holding, Survey
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus, RunSummary
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


_YOUNG = timedelta(minutes=1)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def agent(*clusters: ClusterStatus, at: datetime = NOW, **more: Any) -> AgentStatus:
    return AgentStatus("1.0", NOW - 10 * HOUR, at, clusters, **more)


def cluster(
    *storages: StorageStatus, name: str = "", failing: str = "", since: datetime = NOW, **more: Any
) -> ClusterStatus:
    known = {"role": Role.WORKS, "last_attempt": NOW}
    failure = OngoingFailure(failing, since) if failing else None
    return ClusterStatus(name, storages, failing=failure, **{**known, **more})


def storage(name: str = "s3", kind: str = "s3", *, failing: str = "", **more: Any) -> StorageStatus:
    failure = OngoingFailure(failing, NOW) if failing else None
    uploads = {"failed": 1} if failing else {"ok": 1}
    return StorageStatus(name, kind, failing=failure, **{"uploads": uploads, **more})


def held(
    name: str = "s3", age: timedelta | None = _YOUNG, *, limit: timedelta = HOUR, **more: Any
) -> Holding:
    """Make what a storage holds: its newest snapshot so old, or none."""
    newest = None if age is None else Stored(f"a-{name}.snap", NOW - age, 1000, verified=True)
    due = None if newest is None else DueTime(newest.taken_at + limit, newest.taken_at + limit)
    survey = more.pop("survey", Survey(Census(newest, 1), 1))
    return Holding(name, more.pop("kind", "s3"), survey=survey, deadline=due, **more)


def run(
    outcome: Outcome = Outcome.OK, run_id: str = "r1", error: str = "", failed: Iterable[str] = ()
) -> RunSummary:
    return RunSummary(run_id, NOW - minutes(1), NOW, outcome, failed=(*failed,), error=error)
