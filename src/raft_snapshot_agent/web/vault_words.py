"""The status of a cluster in the format of Vault Enterprise.

Source: `GET sys/storage/raft/snapshot-auto/status/:name` of its API.
"""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile
from typing import Any

from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus

UNNAMED = "default"
"""Name of the only cluster of a file."""


def find_cluster(status: AgentStatus, name: str) -> ClusterStatus | None:
    """Find a cluster by its name; `default` is the one without a name."""
    wanted = "" if name == UNNAMED else name
    return next((one for one in status.clusters if one.name in (wanted, name)), None)


def describe_in_vaults_words(cluster: ClusterStatus) -> dict[str, Any]:
    """Return the response of Vault Enterprise for one of its automated snapshots."""
    last, fails = (cluster.runs[-1] if cluster.runs else None), _is_failing(cluster)
    activity = cluster.activity
    return {
        "consecutive_errors": (cluster.disabled != "") + (_count_errors(cluster) if fails else 0),
        "last_snapshot_end": _time(last.finished_at if last else None),
        "last_snapshot_error": cluster.disabled or (last.error if last and fails else ""),
        "last_snapshot_start": _time(last.started_at if last else None),
        "last_snapshot_url": _locate_newest(cluster),
        "next_snapshot_start": _time(cluster.next_due),
        "snapshot_start": _time(activity.started_at if activity else None),
        "snapshot_url": "",
    }


def _is_failing(cluster: ClusterStatus) -> bool:
    """Return whether the last failure lasts; also another agent's snapshot ends it."""
    return cluster.failing is not None or any(one.failing for one in cluster.storages)


def _count_errors(cluster: ClusterStatus) -> int:
    failed = takewhile(lambda run: run.outcome is not Outcome.OK, reversed(cluster.runs))
    return sum(1 for _ in failed)


def _locate_newest(cluster: ClusterStatus) -> str:
    newest = [
        (one.holding.newest.taken_at, f"{one.location.rstrip('/')}/{one.holding.newest.name}")
        for one in cluster.storages
        if one.holding is not None and one.holding.newest is not None
    ]
    return max(newest)[1] if newest else ""


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}Z"
