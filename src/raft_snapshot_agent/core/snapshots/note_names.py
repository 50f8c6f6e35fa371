"""Names of the notes about all snapshots of a storage."""

from __future__ import annotations

from dataclasses import dataclass

from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, RESTORED_NAME, SCRUB_NAME
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar


@dataclass(frozen=True, slots=True)
class NoteNames:
    """Names of the notes of one storage.

    A snapshot with a static name may be in one folder with others and with those named by time,
    and each of these storages has notes of its own.
    """

    guard: str | None = GUARD_NAME
    """`None`: no alarm lasts, because each snapshot replaces the one before."""
    restored: str = RESTORED_NAME
    scrub: str = SCRUB_NAME

    @classmethod
    def of(cls, static_name: str | None) -> NoteNames:
        """Return the names for a storage; `None`: its snapshots are named by time."""
        if static_name is None:
            return cls()
        restored, scrub = Sidecar.RESTORED, Sidecar.SCRUB
        return cls(None, restored.name_for(static_name), scrub.name_for(static_name))
