"""The content of the page as text, made from a status only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.alarms.problems import (
    STARTING,
    Problem,
    Severity,
    list_problems,
    severity_of,
    summarise,
)
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.web.page import words
from raft_snapshot_agent.web.page.cluster_view import (
    ALL,
    TONES,
    ClusterCard,
    Moment,
    PageQuery,
    list_times,
    show_moment,
    view_cluster,
)

CARDS = 6
"""More clusters than this are shown as a table, and each has its own page."""
PROBLEMS, PROBLEMS_OF_MANY = 12, 3
"""Maximum problems at the top, with cards and with a table, which contains the others."""


@dataclass(frozen=True, slots=True)
class ProblemView:
    """One problem."""

    tone: str
    subject: str
    cluster: str
    text: str
    advice: str
    since: str


@dataclass(frozen=True, slots=True)
class PageView:
    """The content of the page."""

    word: str
    tone: str
    lead: str
    """The sentence below the word."""
    problems: tuple[ProblemView, ...]
    more_problems: int
    clusters: tuple[ClusterCard, ...]
    cards: bool
    """Whether each is shown as a card; else as a row."""
    total: int
    asked: PageQuery
    at: Moment
    version: str
    source: str
    since: str


def view_page(status: AgentStatus, asked: PageQuery = ALL) -> PageView:
    """Return the content of the page.

    Arguments:
        status: The status of the agent.
        asked: The query of the page.
    """
    problems = list_problems(status)
    severity = severity_of(problems)
    chosen = [one for one in status.clusters if _is_asked(one, asked)]
    cards = asked.cluster is not None or len(chosen) <= CARDS
    by_cluster: dict[str, list[Problem]] = {}
    for problem in problems:
        by_cluster.setdefault(problem.cluster, []).append(problem)
    views = [
        view_cluster(one, by_cluster.get(one.name, []), status.at, asked, whole=cards)
        for one in chosen
    ]
    order = ("bad", "warn", "good", "idle")
    most = PROBLEMS if cards else PROBLEMS_OF_MANY
    word = summarise(status, problems)
    views.sort(key=lambda one: order.index(one.tone))
    return PageView(
        word,
        "idle" if word == STARTING else TONES[severity],
        _lead(status, problems),
        tuple(_view_problem(one, status.at) for one in problems[:most]),
        max(len(problems) - most, 0),
        tuple(views),
        cards,
        len(status.clusters),
        asked,
        show_moment(status.at, words.clock(status.at)),
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
    newest = [max(list_times(one), default=None) for one in status.clusters]
    oldest = min((one for one in newest if one is not None), default=None)
    if oldest is None or len(status.clusters) == 1:
        return f"The newest snapshot was taken {words.ago(oldest, status.at)}."
    return (
        f"{clusters}; none is without a snapshot for longer than {format_age(status.at - oldest)}."
    )


def _view_problem(problem: Problem, now: datetime) -> ProblemView:
    since = "" if problem.since is None else f"for {format_age(now - problem.since)}"
    return ProblemView(
        TONES[problem.severity],
        problem.subject,
        problem.cluster,
        problem.text,
        problem.advice,
        since,
    )
