"""Detects that a cluster has had no snapshot for longer than its schedule allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.core.schedules.slots import ScheduleSpec, newest_credible
from raft_snapshot_agent.core.state.freshness import deadline


@dataclass(frozen=True, slots=True)
class Overdue:
    """A missing snapshot."""

    newest: datetime | None
    """When the newest snapshot was taken; `None` without one."""
    due: datetime


def find_overdue(
    timings: Mapping[str, ScheduleSpec],
    taken: Mapping[str, Iterable[datetime]],
    since: datetime,
    now: datetime,
) -> Overdue | None:
    """Return the snapshot that should have been stored by now and was not.

    Arguments:
        timings: Schedule of each storage.
        taken: Times of the snapshots that each storage lists; a missing storage could not be
            listed.
        since: When this agent started to watch; other agents may have just started as well, and
            snapshots due at the same time are taken one after the other.
        now: The present time.
    """
    late = [
        Overdue(newest, line.due)
        for name, timing in timings.items()
        if name in taken
        for newest in [_newest(taken, timing, now)]
        for line in [deadline(timing, newest or since)]
        for begun in [since if newest is not None and newest > since else since + timing.phase]
        if now > max(line.due, begun) + (line.late - line.due)
    ]
    return min(late, key=lambda one: one.due, default=None)


def _newest(
    taken: Mapping[str, Iterable[datetime]], timing: ScheduleSpec, now: datetime
) -> datetime | None:
    """Return the newest in any storage, because not every agent can list every storage."""
    return newest_credible((one for times in taken.values() for one in times), timing, now)
