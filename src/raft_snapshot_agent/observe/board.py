"""Where the loops publish the status of their clusters, and everybody else reads it.

A reader gets an immutable value and waits for the next: whatever it does with it, and however
slowly, no loop waits for a reader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import anyio

from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus

Change = Callable[[ClusterStatus], ClusterStatus]


class StatusBoard:
    """Holds the present status, and wakes up who waits for the next."""

    def __init__(
        self, status: AgentStatus, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Begin with a first status.

        Arguments:
            status: What is known before anything was done.
            clock: Tells the present time.
        """
        self._clock = clock
        self._status = status
        self._clusters = {one.name: one for one in status.clusters}
        self._measures: dict[str, Change] = {}
        self._version = 0
        self._next = anyio.Event()

    @classmethod
    def unread(cls, clock: Callable[[], datetime]) -> StatusBoard:
        """Return a board that knows of no cluster, for loops that nobody looks at."""
        return cls(AgentStatus("", now := clock(), now), clock)

    def read(self) -> AgentStatus:
        """Return how things stand now."""
        clusters = tuple(
            self._measures[name](one) if name in self._measures else one
            for name, one in self._clusters.items()
        )
        return replace(self._status, at=self._clock(), clusters=clusters)

    def measure(self, cluster: str, look: Change) -> None:
        """Let every reader see what changes without anybody's publishing it.

        Arguments:
            cluster: Name of the cluster.
            look: Adds it to what is known, whenever somebody reads.
        """
        self._measures[cluster] = look

    def change(self, cluster: str, change: Change) -> None:
        """Replace what is known of one cluster; one that is not on the board stays off."""
        if cluster in self._clusters:
            self._clusters[cluster] = change(self._clusters[cluster])
            self._wake()

    def assign(self, clusters: tuple[ClusterStatus, ...]) -> None:
        """Replace the clusters, as a new configuration has them."""
        self._clusters = {one.name: one for one in clusters}
        self._measures = {
            name: look for name, look in self._measures.items() if name in self._clusters
        }
        self._wake()

    def update(self, change: Callable[[AgentStatus], AgentStatus]) -> None:
        """Replace what is known of the agent itself; its clusters are not touched."""
        self._status = change(self._status)
        self._wake()

    @property
    def version(self) -> int:
        """A number that grows with each change."""
        return self._version

    async def wait_for_change(self, after: int) -> int:
        """Wait until something changed; return the version by then.

        Arguments:
            after: The version that is known already.
        """
        while self._version == after:
            await self._next.wait()
        return self._version

    def _wake(self) -> None:
        self._version += 1
        woken, self._next = self._next, anyio.Event()
        woken.set()


class Companion(Protocol):
    """Something that runs beside the loops, and only reads: pages, notifications."""

    async def run(self, board: StatusBoard) -> None:
        """Run until it is cancelled; whatever fails in it is logged, and raised to nobody."""
