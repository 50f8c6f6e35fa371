"""What tells a safety snapshot, the way back from a restore, from any other."""

from __future__ import annotations

from raft_snapshot_agent.core.snapshots.snapshot import Sidecar, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError

SAFETY = "safety snapshot: what a restore replaced"
"""The note that holds it."""


async def is_way_back(destination: Destination, stored: Stored) -> bool:
    """Return whether it was taken because of a restore: who restores twice means another."""
    if not stored.held:
        return False
    try:
        note = await verification.small(destination.storage, Sidecar.HOLD.name_for(stored.name))
    except AgentError:
        return False
    return note.startswith(SAFETY.encode())
