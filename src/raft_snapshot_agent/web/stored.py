"""The stored snapshots, from the last listing of each storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.status import AgentStatus

MOST = 1000
"""Maximum snapshots in one answer."""
USUAL = 100


@dataclass(frozen=True, slots=True)
class Question:
    """The parameters of a request for snapshots."""

    cluster: str | None = None
    storage: str | None = None
    offset: int = 0
    limit: int = USUAL


def find_missing(status: AgentStatus, asked: Question) -> str:
    """Return which name in a question is nobody's; empty if there is none."""
    clusters = [one for one in status.clusters if asked.cluster in (None, one.name)]
    if asked.cluster is not None and not clusters:
        return "no cluster has that name"
    names = {one.name for each in clusters for one in each.storages}
    return "no storage has that name" if {asked.storage} - {None, *names} else ""


def list_snapshots(status: AgentStatus, asked: Question) -> dict[str, Any]:
    """Return one page of the snapshots, by cluster and storage, newest first."""
    found = [*_choose(status, asked)]
    end = asked.offset + asked.limit
    shown = [_describe(*one) for one in found[asked.offset : end]]
    following = end if end < len(found) else None
    return {"snapshots": shown, "total": len(found), "next_offset": following}


def _choose(status: AgentStatus, asked: Question) -> Iterator[tuple[str, str, Stored]]:
    for cluster in status.clusters:
        if asked.cluster not in (None, cluster.name):
            continue
        for storage in cluster.storages:
            if asked.storage in (None, storage.name):
                yield from ((cluster.name, storage.name, one) for one in storage.snapshots)


def _describe(cluster: str, storage: str, one: Stored) -> dict[str, Any]:
    return {
        "cluster": cluster,
        "storage": storage,
        "name": one.name,
        "taken_at": f"{one.taken_at:%Y-%m-%dT%H:%M:%S}Z",
        "size": one.size,
        "index": one.index,
        "verified": one.proved,
        "held": one.held,
        "broken": one.broken,
        "mismatched": one.mismatched,
        "drilled": one.drilled,
    }
