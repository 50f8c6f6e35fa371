"""Whether this agent may hold the lease: its store is proven, its node leads, its runs succeed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from raft_snapshot_agent.core.leases.lease import Record
from raft_snapshot_agent.errors import AgentError, UnreliableStore

_STAND_BACK = 2.0
"""In durations: others look three times in one of theirs, and have it by then."""
_PROVE_AGAIN = 600.0
"""Seconds after which a store that failed its proof gets another chance."""


async def granted() -> None:
    """Allow this agent to be the holder."""


class Candidacy:
    """Knows what speaks against this agent's holding the lease; by default nothing does."""

    def __init__(
        self,
        *,
        prove: Callable[[], Awaitable[None]] = granted,
        qualify: Callable[[], Awaitable[None]] = granted,
        max_failures: int = 3,
    ) -> None:
        """Prepare; nothing is asked yet.

        Arguments:
            prove: Raises `UnreliableStore` where the store cannot keep a lease.
            qualify: Raises why this agent could take no snapshot now, such as `NotLeader`.
            max_failures: Runs that may fail in a row before another agent gets its turn.
        """
        self._prove = prove
        self._qualify = qualify
        self._max_failures = max_failures
        self._failures = 0
        self._proven = False
        self._doubt: UnreliableStore | None = None
        self._again = 0.0
        self._stands_back = 0.0
        """For how many durations a lease that is free is left to others."""
        self._other = ("", 0)
        self.obstacle: AgentError | None = None
        """Why this agent could take no snapshot when it was last asked."""

    async def rely_on_store(self, now: float) -> None:
        """Prove the store, unless that was done; a store that failed is left in peace for a while.

        Arguments:
            now: Seconds of a clock that is never set.

        Raises:
            UnreliableStore: It cannot keep a lease.
            AgentError: The proof could not be finished.
        """
        if self._proven:
            return
        if self._doubt is not None and now < self._again:
            raise self._doubt.with_traceback(None)
        try:
            await self._prove()
        except UnreliableStore as error:
            self._doubt, self._again = error, now + _PROVE_AGAIN
            raise
        self._proven = True

    async def qualifies(self) -> bool:
        """Return whether this agent could take a snapshot now; `obstacle` says why not."""
        try:
            await self._qualify()
        except AgentError as error:
            self.obstacle = error
        else:
            self.obstacle = None
        return self.obstacle is None

    def count(self, *, failed: bool) -> str:
        """Count the runs that fail in a row.

        Returns:
            Why another agent is to have its turn; empty while this one keeps it.
        """
        self._failures = self._failures + 1 if failed else 0
        if not failed:
            self._stands_back = 0.0
        if self._failures < self._max_failures:
            return ""
        count, self._failures, self._stands_back = self._failures, 0, _STAND_BACK
        runs = "the last run" if count == 1 else f"the last {count} runs"
        return f"{runs} failed, another agent may do better"

    def stands_back(self, durations: float) -> bool:
        """Return whether one that may do better is still to have the time to take the lease.

        Arguments:
            durations: For how many of them it was free.
        """
        return durations < self._stands_back

    def saw(self, other: Record) -> None:
        """Note that another agent holds the lease: where all fail, the last to try is the last."""
        held_lease = (other.holder, other.term)
        if held_lease != self._other:
            self._other = held_lease
            self._stands_back /= 2
