"""Recognise safety snapshots."""

from __future__ import annotations

from raft_snapshot_agent.core.snapshots.snapshot import Sidecar, Stored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.sidecars import read_small
from raft_snapshot_agent.errors import AgentError

HELD_AS = "safety snapshot: what a restore replaced"
"""The reason in the note that holds it; earlier versions wrote nothing else."""


async def is_safety_snapshot(destination: Destination, stored: Stored) -> bool:
    """Return whether it is a safety snapshot, which a second restore must not choose.

    Its manifest says so, whatever happens to its hold.
    """
    if stored.safety or not stored.held:
        return stored.safety
    try:
        note = await read_small(destination.storage, Sidecar.HOLD.name_for(stored.name))
    except AgentError:
        return False
    return note.startswith(HELD_AS.encode())
