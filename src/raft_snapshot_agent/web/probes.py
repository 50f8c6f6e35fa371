"""Liveness and readiness of the agent, from its status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus

STALE = timedelta(minutes=3)
"""Time without a sign of life after which a loop counts as stuck; normal is half a minute."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer to a probe."""

    good: bool
    words: str
    wrong: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The HTTP status."""
        return 200 if self.good else 503


def probe_health(status: AgentStatus) -> Probe:
    """Return whether every loop is alive; problems that a restart cannot solve do not count."""
    return _probe(status, _hangs, "healthy", "unhealthy")


def probe_readiness(status: AgentStatus) -> Probe:
    """Return whether every cluster's loop has begun: it listed the storages and planned a snapshot.

    It stays so: problems that arise later concern no request.
    """
    return _probe(status, _not_ready, "ready", "not ready")


_Look = Callable[[AgentStatus, ClusterStatus], str]


def _probe(status: AgentStatus, look: _Look, good: str, bad: str) -> Probe:
    wrong = tuple(
        f"{one.name}: {why}" if one.name else why
        for one in status.clusters
        if (why := look(status, one))
    )
    return Probe(not wrong, bad if wrong else good, wrong)


def _hangs(status: AgentStatus, cluster: ClusterStatus) -> str:
    if cluster.disabled:
        return ""
    if cluster.stuck:
        return "the snapshot under way makes no progress"
    since = cluster.heartbeat or status.started_at
    silent = status.at - since
    if cluster.activity is None and silent > STALE:
        return f"the schedule has not gone on for {format_age(silent)}"
    return ""


def _not_ready(_: AgentStatus, cluster: ClusterStatus) -> str:
    if cluster.disabled:
        return "disabled, its configuration is invalid"
    return "" if cluster.next_due is not None else "has not begun yet"
