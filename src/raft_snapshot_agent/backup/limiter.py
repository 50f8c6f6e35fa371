"""How many snapshots are on their way at once, of all the clusters an agent serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

import anyio

from raft_snapshot_agent.observe.trace import PROGRESS

_PATIENCE = 3.0
"""Seconds without a byte after which a snapshot gives its place up."""


class ConcurrencyLimiter:
    """Lets so many through at once; one that does not move holds nobody up."""

    def __init__(self, places: int, patience: float = _PATIENCE) -> None:
        """Open a gate.

        Arguments:
            places: How many are let through at once.
            patience: Seconds without progress after which one does not count any more.
        """
        self._limiter = anyio.CapacityLimiter(places)
        self._patience = patience

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Permit]:
        """Wait for a place, in the order of coming, and give it back at the end."""
        taken = Permit(self._limiter, self._patience)
        waited = self._limiter.available_tokens <= 0
        progress = PROGRESS.get()
        with progress.paused() if progress else nullcontext():
            await self._limiter.acquire_on_behalf_of(taken)
        taken.waited = waited
        try:
            yield taken
        finally:
            taken.give_up()


class Permit:
    """One place in a gate."""

    def __init__(self, limiter: anyio.CapacityLimiter, patience: float) -> None:
        self._limiter = limiter
        self._patience = patience
        self._held = True
        self.waited = False
        """Whether others had to be waited for."""

    def give_up(self) -> None:
        """Let the next one through; the work itself goes on."""
        if self._held:
            self._held = False
            self._limiter.release_on_behalf_of(self)

    async def watch(self, moved: Callable[[], int]) -> None:
        """Give the place up once the number that `moved` returns does not change any more."""
        before = -1
        while (now := moved()) != before:
            before = now
            await anyio.sleep(self._patience)
        self.give_up()
