"""The events of a cluster's loop: one queue, the most urgent first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from raft_snapshot_agent.service.cluster_service import ClusterService

SLICE = 30.0
"""Longest sleep in seconds: the wall clock may step and the host may be suspended."""


@dataclass(frozen=True, slots=True)
class Retire:
    """The cluster is no longer configured."""


@dataclass(frozen=True, slots=True)
class Reload:
    """The configuration has changed."""

    service: ClusterService


@dataclass(frozen=True, slots=True)
class LeaseAcquired:
    """Another agent has held the lease until now."""


@dataclass(frozen=True, slots=True)
class TakeNow:
    """Somebody asks for a snapshot beside those on schedule."""


@dataclass(frozen=True, slots=True)
class Due:
    """The schedule asks for a snapshot."""


Event = Retire | Reload | LeaseAcquired | TakeNow | Due
_URGENT = (Retire, Reload, LeaseAcquired, TakeNow)
"""The most urgent first; what is due can wait for all of them, as it stays due."""


class EventQueue:
    """At most one event of each kind: two that wait together are one, and the newer stands."""

    def __init__(
        self, clock: Callable[[], datetime], beat: Callable[[], None] = lambda: None
    ) -> None:
        """Begin with nothing.

        Arguments:
            clock: Tells the present time.
            beat: Is called at least once in a `SLICE` while somebody waits.
        """
        self._clock = clock
        self._beat = beat
        self._waiting: dict[type[Event], Event] = {}
        self._arrived = anyio.Event()

    @property
    def retired(self) -> bool:
        """Whether it is over; nothing changes that."""
        return Retire in self._waiting

    def put(self, event: Event) -> None:
        """Let an event wait until it is handled."""
        self._waiting[type(event)] = event
        self._arrived.set()

    async def wait(self, moment: datetime) -> bool:
        """Wait until a moment by the wall clock; return whether an event came before."""
        while not self._waiting and (left := moment - self._clock()) > timedelta(0):
            self._arrived = anyio.Event()
            self._beat()
            with anyio.move_on_after(min(SLICE, left.total_seconds())):
                await self._arrived.wait()
        return bool(self._waiting)

    async def next(self, due: datetime) -> Event:
        """Take the most urgent event out of the queue; what is `due` is the last of them."""
        await self.wait(due)
        for kind in _URGENT:
            if kind is Retire and self.retired:
                return Retire()
            if (event := self._waiting.pop(kind, None)) is not None:
                return event
        return Due()
