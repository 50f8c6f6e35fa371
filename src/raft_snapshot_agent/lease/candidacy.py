"""Whether this agent may hold the lease: its store is proven, its node leads, its runs succeed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import AgentError, UnreliableStore

_STAND_BACK = 2.0
"""Lease durations; other agents look three times within one, so one of them acquires it."""
_PROVE_AGAIN = 600.0
"""Seconds before a store that failed its proof is tested again."""


async def granted() -> None:
    """Allow this agent to be the holder."""


class Candidacy:
    """Decides whether this agent may hold the lease; by default it always may."""

    def __init__(
        self,
        *,
        prove: Callable[[], Awaitable[None]] = granted,
        qualify: Callable[[], Awaitable[None]] = granted,
        max_failures: int = 3,
    ) -> None:
        """Store the checks; no I/O.

        Arguments:
            prove: Raises `UnreliableStore` where the store cannot keep a lease.
            qualify: Raises an error, such as `NotLeader`, if this agent cannot take a snapshot now.
            max_failures: Consecutive failed runs before the lease is left to another agent.
        """
        self._prove = prove
        self._qualify = qualify
        self._max_failures = max_failures
        self._failures = 0
        self._proven = False
        self._doubt: UnreliableStore | None = None
        self._again = 0.0
        self._wait_durations = 0.0
        """Lease durations during which a free lease is left to others."""
        self._other = ("", 0)
        self.obstacle: AgentError | None = None
        """Why this agent could not take a snapshot at the last check."""

    async def rely_on_store(self, now: float) -> None:
        """Prove the store once; after a failure, test it again only after a pause.

        Arguments:
            now: Seconds of a monotonic clock.

        Raises:
            UnreliableStore: The store cannot keep a lease.
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

    async def can_snapshot(self) -> bool:
        """Return whether this agent could take a snapshot now; set `obstacle` if not."""
        try:
            await self._qualify()
        except AgentError as error:
            self.obstacle = error
        else:
            self.obstacle = None
        return self.obstacle is None

    def count(self, *, failed: bool) -> str:
        """Count consecutive failed runs.

        Returns:
            Why the lease is to be released; empty if this agent keeps it.
        """
        self._failures = self._failures + 1 if failed else 0
        if not failed:
            self._wait_durations = 0.0
        if self._failures < self._max_failures:
            return ""
        count, self._failures, self._wait_durations = self._failures, 0, _STAND_BACK
        runs = "the last run" if count == 1 else f"the last {count} runs"
        return f"{runs} failed, another agent may do better"

    def must_wait(self, durations: float) -> bool:
        """Return whether the free lease is still left to other agents, after failures here.

        Arguments:
            durations: For how many lease durations it has been free.
        """
        return durations < self._wait_durations

    def saw(self, other: Record) -> None:
        """Note that another agent holds the lease; if all fail, each is given the same pause."""
        held_lease = (other.holder, other.term)
        if held_lease != self._other:
            self._other = held_lease
            self._wait_durations /= 2
