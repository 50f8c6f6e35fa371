"""All metrics: the one table that exposition, documentation, rules and dashboard follow."""

from __future__ import annotations

from collections import Counter

from raft_snapshot_agent.core.state.status import AgentStatus
from raft_snapshot_agent.metrics import of_clusters, of_storages
from raft_snapshot_agent.metrics.metric import Kind, Metric, Value, counts, of_agent, stamp
from raft_snapshot_agent.metrics.process import PROCESS

_NOTIFIED = ("ok", "failed")


def _notifications(status: AgentStatus) -> Value:
    found = Counter(status.notifications)
    names = sorted({name for name, _ in found})
    return {(name, outcome): found[name, outcome] for name in names for outcome in _NOTIFIED}


AGENT: tuple[Metric, ...] = (
    of_agent(
        "build_info",
        Kind.INFO,
        "The agent's version.",
        lambda status: {(status.version,): 1},
        "version",
    ),
    of_agent(
        "config_last_reload_successful",
        Kind.GAUGE,
        "Whether the newest configuration is in force; if not, the one before it is.",
        lambda status: not status.config_refused,
    ),
    of_agent(
        "config_last_reload_success_timestamp_seconds",
        Kind.GAUGE,
        "When the configuration that is in force was loaded.",
        lambda status: stamp(status.config_loaded_at),
    ),
    of_agent(
        "config_reloads_total",
        Kind.COUNTER,
        "Attempts to load another configuration since the agent started, by how they ended.",
        lambda status: counts(status.reloads, "ok", "refused"),
        "outcome",
    ),
    of_agent(
        "notifications_total",
        Kind.COUNTER,
        "Tries to send a notification since the agent started, by notifier and by how they ended.",
        _notifications,
        "notifier",
        "outcome",
    ),
)
SNAPSHOTS: tuple[Metric, ...] = (*AGENT, *of_clusters.METRICS, *of_storages.METRICS)
"""Functions of a status alone."""
TABLE: tuple[Metric, ...] = (*SNAPSHOTS, *PROCESS)
"""Those, and what the process itself takes."""
