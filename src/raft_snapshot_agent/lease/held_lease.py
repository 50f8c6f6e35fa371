"""One period in which this agent holds the lease, until it is lost or released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from raft_snapshot_agent.errors import LeaseLost


class LeaseKeeper(Protocol):
    """Renews the lease, and knows whether this agent still holds a given term."""

    def holds(self, term: int) -> bool:
        """Return whether this agent has held the lease without interruption since this term."""

    def lost(self) -> LeaseLost:
        """Return an error that names the present holder."""

    async def confirm(self, term: int, stored: Mapping[str, str]) -> None:
        """Write into the record which storages have a snapshot, if the term is still held."""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """The lease, from when this agent acquired it until it is lost or released."""

    lease: LeaseKeeper
    term: int

    def held(self) -> bool:
        """Return whether the lease is still valid by the local clock; no I/O."""
        return self.lease.holds(self.term)

    def insist(self) -> None:
        """Raise unless the lease is still held.

        Raises:
            LeaseLost: The lease is no longer held.
        """
        if not self.held():
            raise self.lease.lost()

    async def confirm(self, storage: str, taken_at: datetime) -> None:
        """Write into the record that a storage has a snapshot, if the lease is still held.

        Arguments:
            storage: Name of the storage.
            taken_at: When the snapshot was taken.

        Raises:
            LeaseLost: Another agent acquired the lease; nothing was written.
            AgentError: It is unknown whether the record was written.
        """
        await self.lease.confirm(self.term, {storage: taken_at.isoformat()})
