"""Determine whether this agent takes the snapshots, for drills and scrubs."""

from __future__ import annotations

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.threads import in_thread


async def is_working(agent: Agent) -> bool:
    """Return whether this agent is the one that takes the snapshots."""
    if agent.lease is not None:
        return agent.lease.held_lease is not None
    try:
        await in_thread(agent.cluster.find_leader_for_this_agent, abandon=True)
    except AgentError:
        return False
    return True
