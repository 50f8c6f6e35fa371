"""When a cluster has gone without a snapshot for longer than its schedule allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from raft_snapshot_agent.core.slots import Timing, newest_credible

_LEAST, _MOST = timedelta(seconds=30), timedelta(hours=1)
"""How late a snapshot may be: one interval, within these bounds."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A snapshot that nobody has stored."""

    newest: datetime | None
    """When the newest one was taken; nothing where there is none."""
    due: datetime


def overdue(
    timings: Mapping[str, Timing],
    taken: Mapping[str, Iterable[datetime]],
    since: datetime,
    now: datetime,
) -> Overdue | None:
    """Return the snapshot that should have been stored by now and was not.

    Arguments:
        timings: Of each storage.
        taken: When the snapshots were taken that each storage lists. Nothing is known of one
            that is missing, and nothing at all where every one is.
        since: When this agent began to watch; who was away before may need a moment, too.
        now: The present time.
    """
    late = [
        Overdue(newest, _due(timing, newest or since))
        for name, timing in timings.items()
        if name in taken
        for newest in [_newest(taken, timing, now)]
        if now > max(_due(timing, newest or since), since) + _tolerance(timing, now)
    ]
    return min(late, key=lambda one: one.due, default=None)


def _newest(
    taken: Mapping[str, Iterable[datetime]], timing: Timing, now: datetime
) -> datetime | None:
    """Find the newest in any storage: another one's may lie where not every agent looks."""
    return newest_credible((one for times in taken.values() for one in times), timing, now)


def _due(timing: Timing, newest: datetime) -> datetime:
    return timing.schedule.following(newest, newest).at + timing.jitter


def _tolerance(timing: Timing, now: datetime) -> timedelta:
    upcoming = timing.schedule.following(now, now).at
    return min(max(timing.schedule.following(upcoming, upcoming).at - upcoming, _LEAST), _MOST)
