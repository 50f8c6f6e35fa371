"""What the page shows, in words, from a status alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.core.problems import Problem, Severity, list_problems, severity_of
from raft_snapshot_agent.core.spans import span
from raft_snapshot_agent.core.status import AgentStatus, ClusterStatus, Role
from raft_snapshot_agent.web.page import words
from raft_snapshot_agent.web.page.charts import Chart, draw_charts
from raft_snapshot_agent.web.page.storage_view import StorageCard, view_storage
from raft_snapshot_agent.web.page.timeline import Timeline, draw_timeline

CARDS = 6
"""More clusters are a table, and one of them is a page of its own."""
PROBLEMS, PROBLEMS_OF_MANY = 12, 3
"""As many are told at the top; where the clusters are a table, it has the others."""
STARTING = "Starting"
"""Said instead of the word for how all is, before any storage was looked at."""
_TONES = {Severity.FINE: "good", Severity.ATTENTION: "warn", Severity.FAILING: "bad"}


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What the reader wants to see."""

    words: str = ""
    """Part of the names of clusters."""
    cluster: str | None = None
    """One of them, whole."""


ALL = PageQuery()


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment, for people and for programs."""

    text: str
    iso: str
    exact: str


@dataclass(frozen=True, slots=True)
class ProblemView:
    """One thing that is wrong."""

    tone: str
    subject: str
    cluster: str
    text: str
    advice: str
    since: str


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
    """The worst of its problems, for a row."""
    drill: str
    drill_tone: str
    holds: tuple[str, ...]
    alarms: tuple[str, ...]
    lease: str
    token: str
    storages: tuple[StorageCard, ...] = ()
    timeline: Timeline | None = None
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True, slots=True)
class PageView:
    """All that is shown."""

    word: str
    tone: str
    lead: str
    """The one sentence below the word."""
    problems: tuple[ProblemView, ...]
    more_problems: int
    clusters: tuple[ClusterCard, ...]
    cards: bool
    """Whether each is shown whole; else they are rows."""
    total: int
    asked: PageQuery
    at: Moment
    version: str
    source: str
    since: str


def view_page(status: AgentStatus, asked: PageQuery = ALL) -> PageView:
    """Return what the page shows.

    Arguments:
        status: How things stand.
        asked: What the reader wants to see.
    """
    problems = list_problems(status)
    severity = severity_of(problems)
    chosen = [one for one in status.clusters if _is_asked(one, asked)]
    cards = asked.cluster is not None or len(chosen) <= CARDS
    by_cluster: dict[str, list[Problem]] = {}
    for problem in problems:
        by_cluster.setdefault(problem.cluster, []).append(problem)
    views = [
        _view_cluster(one, by_cluster.get(one.name, []), status.at, whole=cards) for one in chosen
    ]
    order = ("bad", "warn", "good", "idle")
    most = PROBLEMS if cards else PROBLEMS_OF_MANY
    begins = not problems and {one.tone for one in views} == {"idle"}
    views.sort(key=lambda one: order.index(one.tone))
    return PageView(
        STARTING if begins else str(severity),
        "idle" if begins else _TONES[severity],
        _lead(status, problems),
        tuple(_view_problem(one, status.at) for one in problems[:most]),
        max(len(problems) - most, 0),
        tuple(views),
        cards,
        len(status.clusters),
        asked,
        _moment(status.at, words.clock(status.at)),
        status.version,
        status.config_source or "the environment",
        words.ago(status.started_at, status.at),
    )


def _is_asked(cluster: ClusterStatus, asked: PageQuery) -> bool:
    if asked.cluster is not None:
        return cluster.name == asked.cluster
    return asked.words.lower() in cluster.name.lower()


def _lead(status: AgentStatus, problems: tuple[Problem, ...]) -> str:
    if not status.clusters:
        return "No cluster is configured."
    clusters = words.count(len(status.clusters), "cluster")
    if problems:
        failing = sum(one.severity is Severity.FAILING for one in problems)
        told = f"{words.count(len(problems), 'problem')} in {clusters}"
        return f"{told}, {failing} of them failing." if failing else f"{told}."
    if not any(one.last_success for each in status.clusters for one in each.storages):
        return f"{clusters}; no snapshot has been taken yet."
    newest = [max(_times(one), default=None) for one in status.clusters]
    oldest = min((one for one in newest if one is not None), default=None)
    if oldest is None or len(status.clusters) == 1:
        return f"The newest snapshot is of {words.ago(oldest, status.at)}."
    return f"{clusters}; none is without a snapshot for longer than {span(status.at - oldest)}."


def _times(cluster: ClusterStatus) -> list[datetime]:
    return [one.last_success for one in cluster.storages if one.last_success is not None]


def _view_problem(problem: Problem, now: datetime) -> ProblemView:
    since = "" if problem.since is None else f"for {span(now - problem.since)}"
    return ProblemView(
        _TONES[problem.severity],
        problem.subject,
        problem.cluster,
        problem.text,
        problem.advice,
        since,
    )


def _view_cluster(
    cluster: ClusterStatus, problems: list[Problem], now: datetime, *, whole: bool
) -> ClusterCard:
    severity = severity_of(tuple(problems))
    last = max(_times(cluster), default=None)
    drill, begins = cluster.drill, not problems and not _is_known(cluster)
    return ClusterCard(
        name=cluster.name,
        title=cluster.name or "Cluster",
        id=f"cluster-{cluster.name.encode().hex()}",
        tone="idle" if begins else _TONES[severity],
        word=STARTING if begins else str(severity),
        worker=_tell_worker(cluster),
        leader=cluster.node or "not known yet",
        last=None if last is None else _moment(last, words.ago(last, now)),
        next=None if cluster.next_due is None else _tell_next(cluster.next_due, now),
        running=_tell_running(cluster, now),
        told=problems[0].text if problems else "",
        drill="" if drill is None else _tell_drill(cluster, now),
        drill_tone="" if drill is None else "good" if drill.passed else "bad",
        holds=_list_holds(cluster),
        alarms=tuple(f"{one.name}: {one.alarm}" for one in cluster.storages if one.alarm),
        lease=_tell_lease(cluster),
        token=_tell_token(cluster, now),
        storages=tuple(view_storage(one, now, cluster.name) for one in cluster.storages)
        if whole
        else (),
        timeline=draw_timeline(cluster, now) if whole else None,
        charts=draw_charts(cluster.storages) if whole else (),
    )


def _is_known(cluster: ClusterStatus) -> bool:
    """Return whether any of its storages was looked at."""
    holdings = [one.holding for one in cluster.storages if one.holding is not None]
    return any(one.census or one.error for one in holdings)


def _tell_worker(cluster: ClusterStatus) -> str:
    if cluster.disabled:
        return "nobody: the configuration is invalid"
    lease = cluster.lease
    if lease is not None:
        if lease.held:
            return "this agent, it holds the lease"
        return f"another agent: {lease.holder}" if lease.holder else "nobody holds the lease"
    match cluster.role:
        case Role.WORKS:
            return "this agent"
        case Role.STANDS_BY:
            return "another agent: the node here does not lead"
        case _:
            return "to be seen at the first snapshot"


def _tell_running(cluster: ClusterStatus, now: datetime) -> str:
    if cluster.activity is None:
        return ""
    since = span(now - cluster.activity.started_at)
    return f"A snapshot is under way: {words.size(cluster.activity.received)} in {since}"


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
    return _moment(due, words.until(due, now))


def _moment(moment: datetime, text: str) -> Moment:
    return Moment(text, words.iso(moment), words.clock(moment))
