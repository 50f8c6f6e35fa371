"""Limit concurrent snapshots over all clusters of an agent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

import anyio

from raft_snapshot_agent.observe.phases import phase
from raft_snapshot_agent.observe.progress import PROGRESS

_PATIENCE = 3.0
"""Seconds without progress after which a snapshot releases its permit."""


class ConcurrencyLimiter:
    """Limits concurrent snapshots. One without progress no longer counts."""

    def __init__(self, permits: int, patience: float = _PATIENCE) -> None:
        """Create the permits.

        Arguments:
            permits: Maximum concurrent snapshots.
            patience: Seconds without progress after which a snapshot no longer counts.
        """
        self._limiter = anyio.CapacityLimiter(permits)
        self._patience = patience

    @property
    def busy(self) -> bool:
        """Whether the next snapshot must wait for a permit."""
        return self._limiter.available_tokens <= 0

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[Permit]:
        """Wait for a permit, in order of arrival, and release it at the end."""
        taken = Permit(self._limiter, self._patience)
        waited = self.busy
        progress = PROGRESS.get()
        with phase("wait"), progress.paused() if progress else nullcontext():
            await self._limiter.acquire_on_behalf_of(taken)
        taken.waited = waited
        try:
            yield taken
        finally:
            taken.give_up()


class Permit:
    """A permit for one running snapshot."""

    def __init__(self, limiter: anyio.CapacityLimiter, patience: float) -> None:
        self._limiter = limiter
        self._patience = patience
        self._held = True
        self.waited = False
        """Whether it had to wait for others."""

    def give_up(self) -> None:
        """Release the permit; the snapshot continues."""
        if self._held:
            self._held = False
            self._limiter.release_on_behalf_of(self)

    async def watch(self, moved: Callable[[], int]) -> None:
        """Release the permit when the number that `moved` returns stops changing."""
        before = -1
        while (now := moved()) != before:
            before = now
            await anyio.sleep(self._patience)
        self.give_up()
