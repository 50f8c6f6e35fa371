"""One holding of the lease: it ends when the lease is lost or released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from raft_snapshot_agent.errors import LeaseLost


class LeaseKeeper(Protocol):
    """Who keeps the lease, and knows whether a term of it is still this agent's."""

    def holds(self, term: int) -> bool:
        """Return whether this agent has held it since this term began, and does."""

    def lost(self) -> LeaseLost:
        """Return an error that says who has it now."""

    async def confirm(self, term: int, stored: Mapping[str, str]) -> None:
        """Write into the record which storages have a snapshot, if the term has not ended."""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """The lease from when it was taken until somebody else takes it."""

    lease: LeaseKeeper
    term: int

    def held(self) -> bool:
        """Return whether the lease is still valid by the local clock; no I/O."""
        return self.lease.holds(self.term)

    def insist(self) -> None:
        """Raise unless the lease is still held.

        Raises:
            LeaseLost: It is not.
        """
        if not self.held():
            raise self.lease.lost()

    async def confirm(self, storage: str, taken_at: datetime) -> None:
        """Write into the record that a storage has a snapshot, if nobody has taken it until now.

        Arguments:
            storage: Its name.
            taken_at: When the snapshot was taken.

        Raises:
            LeaseLost: Somebody has, and will not find it there.
            AgentError: Nobody knows whether it is there.
        """
        await self.lease.confirm(self.term, {storage: taken_at.isoformat()})
