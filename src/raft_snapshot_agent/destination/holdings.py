"""What a storage holds at a moment, by its own listing, and by when it must hold more."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import anyio

from raft_snapshot_agent.core.freshness import Census, DueTime, census, deadline
from raft_snapshot_agent.core.guard import Alarm
from raft_snapshot_agent.core.scrub_note import ScrubNote
from raft_snapshot_agent.core.snapshot import Manifest, Stored
from raft_snapshot_agent.core.timetable import ScheduleSpec
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.scrubbing import read_scrub_note
from raft_snapshot_agent.errors import (
    AgentError,
    LoginRefused,
    StorageDenied,
    StorageUnavailable,
)
from raft_snapshot_agent.observe.trace import as_failure

_T = TypeVar("_T")

LOOK_WITHIN = 30.0
"""Seconds that a storage gets to answer."""
_LONGEST = 86400.0
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Holding:
    """One storage as it was found."""

    destination: Destination
    census: Census | None = None
    """Nothing where it could not be listed."""
    deadline: DueTime | None = None
    """Nothing where there is no snapshot to count from."""
    alarm: Alarm | None = None
    scrubbed: ScrubNote = field(default_factory=ScrubNote)
    """What was found when snapshots were read back."""
    error: AgentError | None = None
    """Why it could not be listed."""

    @property
    def newest(self) -> Stored | None:
        """The newest whole snapshot whose date can be believed."""
        return None if self.census is None else self.census.newest


async def look(destination: Destination, timing: ScheduleSpec, now: datetime) -> Holding:
    """Look at one storage; what fails is in the holding, nothing is raised.

    Arguments:
        destination: The storage.
        timing: When it is to get snapshots.
        now: The present time.
    """
    try:
        with anyio.fail_after(LOOK_WITHIN):
            return await _look(destination, timing, now)
    except TimeoutError:
        why = f"cannot list snapshots: no answer within {LOOK_WITHIN:g} s"
        error: AgentError = StorageUnavailable(why, hint="check its address and the network")
    except Exception as defect:  # noqa: BLE001 - one storage never hides another
        error = as_failure(defect)
    return Holding(destination, error=error)


async def look_at_all(
    destinations: Sequence[tuple[Destination, ScheduleSpec]], now: datetime
) -> tuple[Holding, ...]:
    """Look at every storage, as many at once as is good for this host.

    Arguments:
        destinations: Each with the schedule of those storages that have none of their own.
        now: The present time.
    """
    found: dict[int, Holding] = {}
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def look_at_one(number: int, destination: Destination, timing: ScheduleSpec) -> None:
        async with limit:
            found[number] = await look(destination, destination.timing or timing, now)

    async with anyio.create_task_group() as tasks:
        for number, (destination, timing) in enumerate(destinations):
            tasks.start_soon(look_at_one, number, destination, timing)
    return tuple(found[number] for number in range(len(destinations)))


async def _look(destination: Destination, timing: ScheduleSpec, now: datetime) -> Holding:
    found = census(await destination.current(), now)
    alarm = await _try_read(destination.alarm())
    note = await _try_read(read_scrub_note(destination, now)) or ScrubNote()
    newest = found.newest
    if newest is None:
        return Holding(destination, found, alarm=alarm, scrubbed=note)
    manifest = await _try_read(destination.manifest(newest.name)) if newest.verified else None
    due = deadline(timing, newest.taken_at, _read_duration(manifest))
    return Holding(destination, found, due, alarm, note)


async def _try_read(reading: Awaitable[_T | None]) -> _T | None:
    """Return what is read; nothing where only the right to read is missing."""
    try:
        return await reading
    except LoginRefused:
        raise
    except StorageDenied:
        return None


def _read_duration(manifest: Manifest | None) -> float:
    """Return how long a snapshot took; nothing where what its manifest says makes no sense."""
    took = 0.0 if manifest is None else manifest.duration
    return took if 0 <= took <= _LONGEST else 0.0
