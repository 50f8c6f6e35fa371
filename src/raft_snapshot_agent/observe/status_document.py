"""The status as JSON."""

from __future__ import annotations

from typing import Any

from raft_snapshot_agent.core.status import AgentStatus


def document(status: AgentStatus) -> dict[str, Any]:
    """Return the status as a document."""
    return {"state": status.state().name.lower(), "clusters": [one.name for one in status.clusters]}
