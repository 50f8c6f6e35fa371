"""Prevent an agent that lost the lease from completing an upload."""

from __future__ import annotations

from pathlib import Path

from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingSource


class FencedSource(ForwardingSource):
    """A source that fails, at its end at the latest, if the lease is lost.

    The upload that reads it is then aborted.
    """

    def __init__(self, source: UploadSource, held_lease: HeldLease) -> None:
        """Wrap a source.

        Arguments:
            source: The snapshot.
            held_lease: The lease that must be held.
        """
        super().__init__(source)
        self._held_lease = held_lease

    def link(self, target: Path) -> bool:
        self._held_lease.insist()
        return super().link(target)

    def follow(self, position: int) -> int:
        length = super().follow(position)
        self._held_lease.insist()
        return length

    def read(self, position: int, size: int) -> bytes:
        piece = super().read(position, size)
        self._held_lease.insist()
        return piece
