"""The view of one cluster on the page, as text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.alarms.problems import (
    STARTING,
    Problem,
    Severity,
    is_known,
    severity_of,
)
from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import ClusterStatus
from raft_snapshot_agent.web.page import words
from raft_snapshot_agent.web.page.changes import MountChanges, compare_runs
from raft_snapshot_agent.web.page.charts import Chart, draw_charts
from raft_snapshot_agent.web.page.storage_view import StorageCard, view_storage
from raft_snapshot_agent.web.page.timeline import Timeline, draw_timeline

TONES = {Severity.FINE: "good", Severity.ATTENTION: "warn", Severity.FAILING: "bad"}


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The query of the page."""

    words: str = ""
    """Part of the names of the clusters to show."""
    cluster: str | None = None
    """The full name of one cluster; `None`: all."""
    before: str = ""
    """ID of the earlier run to compare; empty: the last but one."""
    after: str = ""
    """ID of the later run; empty: the newest."""


ALL = PageQuery()


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, for people and for programs."""

    text: str
    iso: str
    exact: str


@dataclass(frozen=True, slots=True)
class ClusterCard:
    """One cluster."""

    name: str
    title: str
    id: str
    tone: str
    word: str
    worker: str
    leader: str
    last: Moment | None
    next: Moment | None
    running: str
    told: str
    """Its most severe problem, for a row."""
    drill: str
    drill_tone: str
    holds: tuple[str, ...]
    alarms: tuple[str, ...]
    lease: str
    token: str
    storages: tuple[StorageCard, ...] = ()
    timeline: Timeline | None = None
    charts: tuple[Chart, ...] = ()
    changes: MountChanges | None = None


def list_times(cluster: ClusterStatus) -> list[datetime]:
    """List the time of the newest snapshot of each storage."""
    return [one.last_success for one in cluster.storages if one.last_success is not None]


def view_cluster(
    cluster: ClusterStatus,
    problems: list[Problem],
    now: datetime,
    asked: PageQuery,
    *,
    whole: bool,
) -> ClusterCard:
    """Return the view of a cluster.

    Arguments:
        cluster: Its status.
        problems: Its problems, the most severe first.
        now: The present time.
        asked: The query of the page.
        whole: Whether all is shown, or only a row.
    """
    severity = severity_of(tuple(problems))
    last = max(list_times(cluster), default=None)
    drill, begins = cluster.drill, not problems and not is_known(cluster)
    return ClusterCard(
        name=cluster.name,
        title=cluster.name or "Cluster",
        id=f"cluster-{cluster.name.encode().hex()}",
        tone="idle" if begins else TONES[severity],
        word=STARTING if begins else str(severity),
        worker=_tell_worker(cluster),
        leader=cluster.node or "not known yet",
        last=None if last is None else show_moment(last, words.ago(last, now)),
        next=None if cluster.next_due is None else _tell_next(cluster.next_due, now),
        running=_tell_running(cluster, now),
        told=_tell_worst(problems[0]) if problems else "",
        drill="" if drill is None else _tell_drill(cluster, now),
        drill_tone="" if drill is None else "good" if drill.passed else "bad",
        holds=_list_holds(cluster),
        alarms=tuple(f"{one.name}: {one.alarm}" for one in cluster.storages if one.alarm),
        lease=_tell_lease(cluster),
        token=_tell_token(cluster, now),
        storages=tuple(
            view_storage(one, now, cluster.name, idle=cluster.leaves_idle(one))
            for one in cluster.storages
        )
        if whole
        else (),
        timeline=draw_timeline(cluster, now) if whole else None,
        charts=draw_charts(cluster.storages) if whole else (),
        changes=compare_runs(cluster, asked.before, asked.after) if whole else None,
    )


def _tell_worst(problem: Problem) -> str:
    return f"{problem.storage}: {problem.text}" if problem.storage else problem.text


def _tell_worker(cluster: ClusterStatus) -> str:
    if cluster.disabled:
        return "nobody: the configuration is invalid"
    lease = cluster.lease
    if lease is not None:
        if lease.held:
            return "this agent, it holds the lease"
        if lease.holder:
            return f"another agent: {lease.holder}"
        return "not known, the lease cannot be read" if lease.trouble else "nobody holds the lease"
    if cluster.failing is not None:
        return "not this agent: its last snapshot failed"
    match cluster.role:
        case Role.WORKS:
            return "this agent"
        case Role.STANDS_BY:
            return "another agent: the node here does not lead"
        case _:
            return "not known before the first snapshot"


def _tell_running(cluster: ClusterStatus, now: datetime) -> str:
    if cluster.activity is None:
        return ""
    since = format_age(now - cluster.activity.started_at)
    return f"A snapshot is under way: {format_size(cluster.activity.received)} in {since}"


def _tell_drill(cluster: ClusterStatus, now: datetime) -> str:
    drill = cluster.drill
    if drill is None:
        return ""
    if drill.passed:
        when = words.ago(drill.at, now)
        return f"{drill.snapshot} came to life in {drill.seconds:.1f} s, {when}"
    return f"{drill.snapshot} failed {words.ago(drill.at, now)}: {drill.reason}"


def _list_holds(cluster: ClusterStatus) -> tuple[str, ...]:
    held = [one.name for each in cluster.storages for one in each.snapshots if one.held]
    return tuple(dict.fromkeys(held))


def _tell_lease(cluster: ClusterStatus) -> str:
    lease = cluster.lease
    return (
        "" if lease is None else f"{lease.location}{': ' if lease.trouble else ''}{lease.trouble}"
    )


def _tell_token(cluster: ClusterStatus, now: datetime) -> str:
    if cluster.login_failing:
        return cluster.login_failing
    ends = cluster.token_expires_at
    return "" if ends is None else f"ends {words.until(ends, now)}, renewed before"


def _tell_next(due: datetime, now: datetime) -> Moment:
    return show_moment(due, words.until(due, now))


def show_moment(moment: datetime, text: str) -> Moment:
    """Return a point in time with its text."""
    return Moment(text, words.iso(moment), words.clock(moment))
