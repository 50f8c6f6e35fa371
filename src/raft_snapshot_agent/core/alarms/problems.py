"""The present problems with their remedies: one list for page, terminal and notifications."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from shlex import quote

from raft_snapshot_agent.core.advice import acknowledge, advise
from raft_snapshot_agent.core.state.holding import CheckState
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus
from raft_snapshot_agent.errors import RetentionSuspended, ServerError

PATIENCE = timedelta(minutes=1)
"""How long conditions last that often end without help, such as an election."""


class Severity(IntEnum):
    """How urgent a problem is; larger is more urgent."""

    FINE = 0
    ATTENTION = 1
    """Not urgent: snapshots are taken and stored in some storage."""
    FAILING = 2
    """Urgent: a snapshot is missing, or none are taken."""

    def __str__(self) -> str:
        """Return the text that the page shows."""
        return ("All is well", "Needs attention", "Failing")[self]


STARTING = "Starting"
EXIT_CODES: Mapping[Severity, int] = {
    Severity.FINE: 0,
    Severity.ATTENTION: RetentionSuspended.exit_code,
    Severity.FAILING: ServerError.exit_code,
}
"""Exit codes of `status`."""


class ProblemKind(StrEnum):
    """Types of problems; stable names, for notifications and programs."""

    DISABLED = "disabled"
    CONFIG_REFUSED = "config_refused"
    STALE = "stale"
    NO_SNAPSHOT_YET = "no_snapshot_yet"
    UNLISTED = "unlisted"
    SNAPSHOT_FAILED = "snapshot_failed"
    STORAGE_FAILED = "storage_failed"
    RETENTION_SUSPENDED = "retention_suspended"
    DOUBT = "doubt"
    STUCK = "stuck"
    LEASE_UNUSABLE = "lease_unusable"
    LOGIN_FAILING = "login_failing"
    DRILL_FAILED = "drill_failed"
    DRILL_OVERDUE = "drill_overdue"
    SCRUB_FAILED = "scrub_failed"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem."""

    kind: ProblemKind
    severity: Severity
    text: str
    """The problem, in one line, without its subject."""
    advice: str
    """The remedy, in one line."""
    cluster: str = ""
    storage: str = ""
    """Name of the storage; empty if it is not about one storage."""
    since: datetime | None = None
    """Since when; `None` if unknown."""

    @property
    def subject(self) -> str:
        """What it is about: `prod/s3`, `prod`, `s3`, or nothing."""
        return "/".join(part for part in (self.cluster, self.storage) if part)


def list_problems(status: AgentStatus) -> tuple[Problem, ...]:
    """List the problems, most severe first."""
    found = [
        problem for one in status.clusters for problem in list_cluster_problems(one, status.at)
    ]
    if status.config_refused:
        found.append(
            Problem(
                ProblemKind.CONFIG_REFUSED,
                Severity.ATTENTION,
                f"the new configuration is refused: {status.config_refused}",
                "correct it; until then the previous one stays in force",
            )
        )
    return tuple(sorted(found, key=lambda one: -one.severity))


def is_known(cluster: ClusterStatus) -> bool:
    """Return whether each of a cluster's storages was listed, or failed to be."""
    holdings = (one.holding for one in cluster.storages)
    return all(one is not None and (one.census or one.error) for one in holdings)


def summarise(status: AgentStatus, problems: tuple[Problem, ...]) -> str:
    """Return the state in one or two words; not "well" before everything was checked.

    Arguments:
        status: The present status.
        problems: The present problems.
    """
    if not (problems or all(map(is_known, status.clusters))):
        return STARTING
    return str(severity_of(problems))


def state_of(problems: tuple[Problem, ...], clusters: Iterable[ClusterStatus]) -> CheckState:
    """Return the same as `summarise` in the words of `check`.

    Arguments:
        problems: The present problems of these clusters.
        clusters: The clusters.
    """
    if not (problems or all(map(is_known, clusters))):
        return CheckState.UNKNOWN
    return CheckState(severity_of(problems))


def severity_of(problems: tuple[Problem, ...]) -> Severity:
    """Return the severity of the worst problem."""
    return max((one.severity for one in problems), default=Severity.FINE)


def list_cluster_problems(cluster: ClusterStatus, now: datetime) -> Iterator[Problem]:
    """Yield the problems of one cluster, unsorted."""
    name = cluster.name
    if cluster.disabled:
        yield Problem(
            ProblemKind.DISABLED,
            Severity.FAILING,
            f"no snapshots are taken, the configuration is invalid: {cluster.disabled}",
            "correct the configuration: raft-snapshot-agent config check",
            name,
        )
    if cluster.failing is not None:
        yield _of_failure(cluster, cluster.failing, now)
    if cluster.stuck:
        yield Problem(
            ProblemKind.STUCK,
            Severity.FAILING,
            "the snapshot under way has made no progress for longer than its time-outs allow",
            "restart the agent, and keep its log",
            name,
            since=cluster.heartbeat,
        )
    for storage in cluster.storages:
        yield from _of_storage(storage, cluster, now)
    yield from _of_rest(cluster)
    yield from _of_drills(cluster, now)


def _of_failure(cluster: ClusterStatus, failing: OngoingFailure, now: datetime) -> Problem:
    """Return the problem of an agent that cannot take snapshots, which others may take instead."""
    others = cluster.role is Role.STANDS_BY and now - failing.since < PATIENCE
    who = "this agent cannot take a snapshot, another may"
    what = who if others else "no snapshot could be taken"
    return Problem(
        ProblemKind.SNAPSHOT_FAILED,
        Severity.ATTENTION if others else Severity.FAILING,
        f"{what}: {failing.text}",
        advise("find the cause", "doctor", cluster.name),
        cluster.name,
        since=failing.since,
    )


def _first_is_missing(storage: StorageStatus, cluster: str) -> Problem:
    """Return the problem of a storage before its first snapshot is late."""
    return Problem(
        ProblemKind.NO_SNAPSHOT_YET,
        Severity.ATTENTION,
        "no snapshot yet",
        "wait for the first one",
        cluster,
        storage.name,
    )


def _of_storage(storage: StorageStatus, cluster: ClusterStatus, now: datetime) -> Iterator[Problem]:
    name = cluster.name
    worst = Severity.FAILING if storage.required else Severity.ATTENTION
    if storage.failing is not None:
        yield Problem(
            ProblemKind.STORAGE_FAILED,
            worst,
            f"snapshots are not stored: {storage.failing.text}",
            advise("find the cause", "doctor", name),
            name,
            storage.name,
            storage.failing.since,
        )
    verdict = storage.judge(now, name)
    known = storage.holding is not None and (storage.holding.census or storage.holding.error)
    if not known or verdict.state is CheckState.OK:
        return
    kind, severity, advice = _grade(storage, verdict.state, name)
    if kind is ProblemKind.STALE and cluster.leaves_idle(storage):
        return
    if kind is ProblemKind.STALE and verdict.newest is None and storage.is_new(now):
        yield _first_is_missing(storage, name)
        return
    yield Problem(kind, min(severity, worst), verdict.message, advice, name, storage.name)


def _grade(
    storage: StorageStatus, state: CheckState, cluster: str
) -> tuple[ProblemKind, Severity, str]:
    here = f"--storage {quote(storage.name)}"
    look = advise("inspect it", f"list {here}", cluster)
    if storage.holding is not None and storage.holding.error is not None:
        return ProblemKind.UNLISTED, Severity.ATTENTION, advise("find the cause", "doctor", cluster)
    if state is CheckState.WARNING and storage.alarm:
        return ProblemKind.RETENTION_SUSPENDED, Severity.ATTENTION, acknowledge(cluster)
    if state is CheckState.WARNING and storage.has_rot:
        advice = advise("inspect it", f"verify --all {here}", cluster)
        return ProblemKind.SCRUB_FAILED, Severity.ATTENTION, advice
    if state is CheckState.WARNING and storage.required:
        return ProblemKind.DOUBT, Severity.ATTENTION, look
    return ProblemKind.STALE, Severity.FAILING, look


def _of_rest(cluster: ClusterStatus) -> Iterator[Problem]:
    name = cluster.name
    if cluster.lease is not None and cluster.lease.trouble:
        yield Problem(
            ProblemKind.LEASE_UNUSABLE,
            Severity.FAILING,
            f"cannot determine which agent takes the snapshots: {cluster.lease.trouble}",
            advise("check the storage that keeps the lease", "doctor", name),
            name,
        )
    if cluster.login_failing:
        works = cluster.failing is None  # with the token of an earlier login
        yield Problem(
            ProblemKind.LOGIN_FAILING,
            Severity.ATTENTION,
            cluster.login_failing,
            f"renew the agent's credentials{' before its token ends' if works else ''}",
            name,
        )


def _of_drills(cluster: ClusterStatus, now: datetime) -> Iterator[Problem]:
    name, planned = cluster.name, cluster.drills
    if cluster.drill is not None and not cluster.drill.passed:
        yield Problem(
            ProblemKind.DRILL_FAILED,
            Severity.FAILING,
            f"the drill of {cluster.drill.snapshot} failed: {cluster.drill.reason}",
            advise("find the cause before you need it", "drill", name),
            name,
            since=cluster.drill.at,
        )
    if planned is not None and (planned.failing is not None or planned.is_late(now)):
        failing = planned.failing
        yield Problem(
            ProblemKind.DRILL_OVERDUE,
            Severity.ATTENTION,
            f"the scheduled drill cannot be run: {failing.text}"
            if failing is not None
            else "the scheduled drill is overdue: none was run for two of its intervals",
            advise("see why", "drill", name),
            name,
            since=failing.since if failing is not None else planned.late,
        )
