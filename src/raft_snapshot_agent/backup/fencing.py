"""Keeps an agent that lost the lease from completing what it began."""

from __future__ import annotations

from pathlib import Path

from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingSource


class FencedSource(ForwardingSource):
    """A source that fails, at the latest at its end, once the lease is lost.

    What follows it is then not complete, and nothing of it stays.
    """

    def __init__(self, source: UploadSource, held_lease: HeldLease) -> None:
        """Wrap a source.

        Arguments:
            source: Has the bytes.
            held_lease: What they may be stored under.
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
