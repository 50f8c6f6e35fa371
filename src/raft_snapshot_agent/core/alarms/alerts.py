"""Derives alerts from the status, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from shlex import quote

from raft_snapshot_agent.core.advice import acknowledge, advise
from raft_snapshot_agent.core.alarms.alert_events import AlertEvent
from raft_snapshot_agent.core.alarms.problems import (
    PATIENCE,
    Problem,
    ProblemKind,
    Severity,
    list_problems,
)
from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.core.snapshots.snapshot import MISDESCRIBED, Stored
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import (
    AgentStatus,
    ClusterStatus,
    LeaseStatus,
    RunSummary,
)
from raft_snapshot_agent.core.state.storage_status import StorageStatus

EVENTS: Mapping[ProblemKind, AlertEvent] = {
    ProblemKind.DISABLED: AlertEvent.FAILED,
    ProblemKind.SNAPSHOT_FAILED: AlertEvent.FAILED,
    ProblemKind.STUCK: AlertEvent.FAILED,
    ProblemKind.STORAGE_FAILED: AlertEvent.PARTIAL,
    ProblemKind.STALE: AlertEvent.STALE,
    ProblemKind.DRILL_FAILED: AlertEvent.DRILL_FAILED,
    ProblemKind.DRILL_OVERDUE: AlertEvent.DRILL_FAILED,
    ProblemKind.LEASE_UNUSABLE: AlertEvent.LEASE_UNUSABLE,
    ProblemKind.LOGIN_FAILING: AlertEvent.LOGIN_FAILING,
}
"""The problems that become alerts. Alarms of the guard and broken snapshots are reported separately
per storage; other problems are shown by the page, `status` and the API."""

AlertKey = tuple[AlertEvent, str, str]
"""Event, cluster and storage."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One condition that should be reported."""

    event: AlertEvent
    cluster: str
    """Name of the cluster; empty if only one is configured."""
    storage: str
    """Name of the storage; empty if the alert is not about one storage."""
    text: str
    since: datetime
    critical: bool = True
    patience: timedelta = timedelta(0)
    """How long it must last before it is reported."""
    muted: bool = False
    """Whether another alert includes this one, so that receivers of that get no new message."""

    @property
    def key(self) -> AlertKey:
        return self.event, self.cluster, self.storage

    @property
    def subject(self) -> str:
        """What it is about, as `CLUSTER/STORAGE`; empty if about the whole agent."""
        return "/".join(filter(None, (self.cluster, self.storage)))


def find_alerts(status: AgentStatus) -> tuple[Alert, ...]:
    """List the present alerts, one per event and cluster or storage."""
    clusters = {one.name: one for one in status.clusters}
    found: dict[AlertKey, Alert] = {}
    for problem in list_problems(status):
        if problem.kind in EVENTS and _concerns(problem, clusters[problem.cluster]):
            alert = _of_problem(problem, clusters[problem.cluster], status)
            found.setdefault(alert.key, alert)
    for cluster in status.clusters:
        for alert in _beside_problems(cluster, status):
            found.setdefault(alert.key, alert)
    return tuple(
        replace(one, muted=True)
        if one.event is AlertEvent.PARTIAL and (AlertEvent.FAILED, one.cluster, "") in found
        else one
        for one in found.values()
    )


def is_configured(status: AgentStatus, key: AlertKey) -> bool:
    """Return whether there still is the cluster or storage that an alert is about."""
    _, cluster, storage = key
    found = next((one for one in status.clusters if one.name == cluster), None)
    if found is None:
        return False
    return not storage or found.disabled != "" or any(one.name == storage for one in found.storages)


def is_over(status: AgentStatus, key: AlertKey) -> bool:
    """Return whether an alert that is not found has ended, and is not just unknown yet.

    After a start, runs, listings and drills are unknown until the first one has ended; of a
    disabled cluster, all is.
    """
    event, cluster, storage = key
    found = next((one for one in status.clusters if one.name == cluster), None)
    if found is None:
        return True
    if found.disabled:
        return False
    if event is AlertEvent.FAILED:
        is_served = all(_is_served(one, status.at) for one in found.storages)
        return found.failing is None and (found.last_attempt is not None or is_served)
    if event is AlertEvent.LOGIN_FAILING:
        return found.last_attempt is not None
    if event is AlertEvent.DRILL_FAILED:
        is_pending = found.drills is not None and found.drills.is_pending(status.at)
        return found.drill is not None and not is_pending
    if event is AlertEvent.LEASE_UNUSABLE:
        return found.lease is None or bool(found.lease.held or found.lease.holder)
    held = next((one for one in found.storages if one.name == storage), None)
    if held is None:
        return True
    if event is AlertEvent.PARTIAL:
        runs = bool(held.uploads) or found.role is Role.STANDS_BY
        return runs or _is_served(held, status.at)
    if event is AlertEvent.GUARD_ALARM:
        return held.holding is not None and held.holding.survey.alarm is not None
    return held.holding is not None and held.holding.error is None and bool(held.holding.census)


def _concerns(problem: Problem, cluster: ClusterStatus) -> bool:
    """Return whether this agent should report a problem, and no other one does."""
    works = cluster.role is not Role.STANDS_BY
    if problem.kind is ProblemKind.SNAPSHOT_FAILED:
        return problem.severity is Severity.FAILING and (works or not _is_led(cluster.lease))
    if problem.kind is ProblemKind.STORAGE_FAILED:
        return works and problem.severity is Severity.FAILING
    return True


def _is_led(lease: LeaseStatus | None) -> bool:
    """Return whether another agent holds the lease, and reports its own failures."""
    return lease is not None and bool(lease.holder) and not lease.held


def _has_to_last(problem: Problem, cluster: ClusterStatus) -> bool:
    """Return whether a problem often ends without help: in an election another agent works soon."""
    elected = problem.kind is ProblemKind.SNAPSHOT_FAILED and cluster.shared
    return elected or problem.kind is ProblemKind.LEASE_UNUSABLE


def _of_problem(problem: Problem, cluster: ClusterStatus, status: AgentStatus) -> Alert:
    event = EVENTS[problem.kind]
    since = problem.since
    if problem.kind is ProblemKind.STALE:
        storage = next(one for one in cluster.storages if one.name == problem.storage)
        since = _due(storage)
    if problem.kind is ProblemKind.DISABLED:
        since = status.config_loaded_at
    return Alert(
        event,
        problem.cluster,
        problem.storage,
        f"{problem.text}; {problem.advice}",
        since or status.at,
        critical=problem.severity is Severity.FAILING,
        patience=PATIENCE if _has_to_last(problem, cluster) else timedelta(0),
    )


def _is_served(storage: StorageStatus, now: datetime) -> bool:
    """Return whether a storage shows the snapshot of this slot, so that no run follows soon."""
    due = _due(storage)
    return due is not None and now < due


def _due(storage: StorageStatus) -> datetime | None:
    due = None if storage.holding is None else storage.holding.deadline
    return None if due is None else due.due


def _beside_problems(cluster: ClusterStatus, status: AgentStatus) -> Iterator[Alert]:
    last = cluster.runs[-1] if cluster.runs else None
    works = cluster.role is not Role.STANDS_BY
    if works and last is not None and last.outcome is Outcome.FAILED:
        failing = [one.failing for one in _list_alike(cluster, last)]
        since = [one.since for one in failing if one is not None]
        if since and len(since) == len(failing):
            text = f"no storage took the snapshot: {last.error}"
            yield Alert(AlertEvent.FAILED, cluster.name, "", text, max(since))
    for storage in cluster.storages:
        yield from _of_storage(storage, cluster.name, status.at)


def _list_alike(cluster: ClusterStatus, run: RunSummary) -> list[StorageStatus]:
    """List the storages that were to get the snapshot of a run, now or before a retry."""
    schedules = {one.schedule for one in cluster.storages if one.name in run.failed}
    return [one for one in cluster.storages if one.schedule in schedules]


def _of_storage(storage: StorageStatus, cluster: str, now: datetime) -> Iterator[Alert]:
    def alert(event: AlertEvent, text: str) -> Alert:
        # Both can wait until the morning, as `check` says: snapshots are taken and stored.
        since = storage.listed_at or now
        return Alert(event, cluster, storage.name, text, since, critical=False)

    holding = storage.holding
    if reason := storage.alarm or ("" if holding is None else holding.alarm):
        mend = acknowledge(cluster)
        yield alert(AlertEvent.GUARD_ALARM, f"retention suspended: {reason}; {mend}")
    if found := [] if holding is None else _list_broken(holding.survey):
        mend = advise("look at it", f"verify --all --storage {quote(storage.name)}", cluster)
        yield alert(AlertEvent.SCRUB_FAILED, f"{'; '.join(found)}; {mend}")


def _list_broken(survey: Survey) -> list[str]:
    """List unusable snapshots of a storage: known ones, and those found when read back."""
    known, note = list[str](), survey.scrubbed
    if survey.census is not None:
        found = [
            ("known to be broken", survey.census.broken),
            (MISDESCRIBED, survey.census.mismatched),
        ]
        known = [f"{what}: {_enumerate(stored)}" for what, stored in found if stored]
        for one in chain.from_iterable(stored for _, stored in found):
            note = note and note.without(one.name)  # else it is told twice
    return known + ([] if note is None else note.doubts)


def _enumerate(stored: Iterable[Stored]) -> str:
    return enumerate_names([one.name for one in stored], 1)
