"""The events of a cluster's loop: one queue, the most urgent first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.wall_clock import WallClockWatch

SLICE = 30.0
"""Longest sleep in seconds: the wall clock may be set and the host may be suspended."""


@dataclass(frozen=True, slots=True)
class Retire:
    """The cluster is no longer configured."""


@dataclass(frozen=True, slots=True)
class Reload:
    """The configuration has changed."""

    service: ActiveCluster


@dataclass(frozen=True, slots=True)
class ClockSetBack:
    """The wall clock was set back, so that all planned times are too late."""

    by: timedelta


@dataclass(frozen=True, slots=True)
class ClockSetForward:
    """The wall clock was set forward."""

    by: timedelta


@dataclass(frozen=True, slots=True)
class LeaseAcquired:
    """The lease was acquired, which another agent held before."""


@dataclass(frozen=True, slots=True)
class TakeNow:
    """A snapshot was requested in addition to the scheduled ones."""


@dataclass(frozen=True, slots=True)
class Due:
    """A scheduled snapshot is due."""


Event = Retire | Reload | ClockSetBack | ClockSetForward | LeaseAcquired | TakeNow | Due
_URGENT = (Retire, Reload, ClockSetBack, ClockSetForward, LeaseAcquired, TakeNow)
"""The most urgent first; `Due` is last, as it stays due."""


class EventQueue:
    """A queue with at most one event of each kind; a newer one replaces the waiting one."""

    def __init__(
        self, clock: Callable[[], datetime], beat: Callable[[], None] = lambda: None
    ) -> None:
        """Create an empty queue.

        Arguments:
            clock: Returns the present time.
            beat: Called at least once per `SLICE` during a wait.
        """
        self._clock = clock
        self._beat = beat
        self._wall_clock = WallClockWatch(clock)
        self._waiting: dict[type[Event], Event] = {}
        self._arrived = anyio.Event()

    @property
    def retired(self) -> bool:
        """Whether `Retire` was queued; this is final."""
        return Retire in self._waiting

    def put(self, event: Event) -> None:
        """Queue an event."""
        self._waiting[type(event)] = event
        self._arrived.set()

    async def wait(self, moment: datetime) -> bool:
        """Wait until a time of the wall clock; return whether an event came first.

        That the wall clock was set is such an event; it is noticed within `SLICE`.
        """
        self._note_step()
        while not self._waiting and (left := moment - self._clock()) > timedelta(0):
            self._arrived = anyio.Event()
            self._beat()
            with anyio.move_on_after(min(SLICE, left.total_seconds())):
                await self._arrived.wait()
            self._note_step()
        return bool(self._waiting)

    async def next(self, due: datetime) -> Event:
        """Remove and return the most urgent event; `due` has the lowest priority."""
        await self.wait(due)
        for kind in _URGENT:
            if kind is Retire and self.retired:
                return Retire()
            if (event := self._waiting.pop(kind, None)) is not None:
                return event
        return Due()

    def _note_step(self) -> None:
        step = self._wall_clock.find_step()
        if step < timedelta(0):
            self.put(ClockSetBack(-step))
        elif step:
            self.put(ClockSetForward(step))
