"""Keeps an agent that lost the lease from completing what it began."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.storage.base import UploadSource


@dataclass(frozen=True, slots=True)
class FencedSource:
    """A source that fails, at the latest at its end, once the lease is lost.

    What follows it is then not complete, and nothing of it stays.
    """

    source: UploadSource
    held_lease: HeldLease

    def link(self, target: Path) -> bool:
        self.held_lease.insist()
        return self.source.link(target)

    def follow(self, position: int) -> int:
        length = self.source.follow(position)
        self.held_lease.insist()
        return length

    def read(self, position: int, size: int) -> bytes:
        piece = self.source.read(position, size)
        self.held_lease.insist()
        return piece
