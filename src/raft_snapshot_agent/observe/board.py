"""The status board: cluster loops publish their status here, all other parts read it.

A reader gets an immutable value and waits for the next one; no loop ever waits for a reader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio

from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus

Change = Callable[[ClusterStatus], ClusterStatus]

_SET = timedelta(seconds=10)
"""More than time programs slew a clock or step it in normal operation."""


class StatusBoard:
    """Holds the present status and wakes readers when it changes."""

    def __init__(
        self,
        status: AgentStatus,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], timedelta] | None = None,
    ) -> None:
        """Start with an initial status.

        Arguments:
            status: Status before the first run.
            clock: Returns the present time.
            elapsed: Returns the time since the start of the agent, whatever the wall clock was set
                to; `None`: it is never set.
        """
        self._clock = clock
        self._elapsed = elapsed
        self._started_at = status.started_at
        self._status = status
        self._clusters = {one.name: one for one in status.clusters}
        self._measures: dict[str, Change] = {}
        self._version = 0
        self._next = anyio.Event()

    @classmethod
    def unread(cls, clock: Callable[[], datetime]) -> StatusBoard:
        """Return a board without clusters, for loops without readers."""
        return cls(AgentStatus("", now := clock(), now), clock)

    def read(self) -> AgentStatus:
        """Return the present status."""
        now = self._clock()
        clusters = tuple(
            (self._measures[name](one) if name in self._measures else one).as_of(now)
            for name, one in self._clusters.items()
        )
        return replace(self._status, at=now, started_at=self._find_start(now), clusters=clusters)

    def _find_start(self, now: datetime) -> datetime:
        """Return when the agent was started, by the wall clock as it is set now."""
        if self._elapsed is not None:
            start = now - self._elapsed()
            if abs(start - self._started_at) > _SET:
                self._started_at = start
        return self._started_at

    def measure(self, cluster: str, look: Change) -> None:
        """Register a function that adds present values whenever the status is read.

        Arguments:
            cluster: Name of the cluster.
            look: Returns the status with the present values added.
        """
        self._measures[cluster] = look

    def find(self, cluster: str) -> ClusterStatus | None:
        """Return what was last published of one cluster, without present values."""
        return self._clusters.get(cluster)

    def change(self, cluster: str, change: Change) -> None:
        """Replace the status of one cluster; ignore a cluster that is not on the board."""
        if cluster in self._clusters:
            self._clusters[cluster] = change(self._clusters[cluster])
            self._wake()

    def assign(self, clusters: tuple[ClusterStatus, ...]) -> None:
        """Replace the list of clusters after a reload of the configuration."""
        self._clusters = {one.name: one for one in clusters}
        self._measures = {
            name: look for name, look in self._measures.items() if name in self._clusters
        }
        self._wake()

    def update(self, change: Callable[[AgentStatus], AgentStatus]) -> None:
        """Replace the agent's own status; the clusters are kept."""
        self._status = change(self._status)
        self._wake()

    @property
    def version(self) -> int:
        """A number that grows with each change."""
        return self._version

    async def wait_for_change(self, after: int) -> int:
        """Wait for a change; return the new version.

        Arguments:
            after: The version already known.
        """
        while self._version == after:
            await self._next.wait()
        return self._version

    def _wake(self) -> None:
        self._version += 1
        woken, self._next = self._next, anyio.Event()
        woken.set()


class Companion(Protocol):
    """A task that runs concurrently with the loops and only reads: pages, notifications."""

    async def run(self, board: StatusBoard) -> None:
        """Run until cancelled; after a failure it is run again."""
