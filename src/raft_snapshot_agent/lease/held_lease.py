"""One holding of the lease, from when it was taken until somebody else takes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raft_snapshot_agent.lease.holder import Lease


@dataclass(frozen=True, slots=True)
class HeldLease:
    """The lease from when it was taken until somebody else takes it."""

    lease: Lease
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
