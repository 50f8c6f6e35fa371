"""How old the newest snapshot of a storage may be before something is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import MINYEAR, datetime, timedelta

from raft_snapshot_agent.core.schedules.timetable import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Stored

AHEAD = timedelta(minutes=5)
"""A snapshot may be dated this much later than now: the clocks of two hosts differ."""
_GRACE_SHARE = 2
_LEAST_GRACE, _MOST_GRACE = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DueTime:
    """When the snapshot after the newest one is due, and when it is late."""

    due: datetime
    late: datetime

    def is_missed(self, now: datetime) -> bool:
        """Return whether it should have been there by now."""
        return now > self.late


@dataclass(frozen=True, slots=True)
class Census:
    """The snapshots of one storage, by what they are worth at some time."""

    newest: Stored | None
    """The newest whole one whose date can be believed."""
    whole: int
    """How many of those there are."""
    broken: tuple[Stored, ...] = ()
    ahead: tuple[Stored, ...] = ()
    """Whole ones that are dated in the future: they say nothing about freshness."""
    undated: tuple[Stored, ...] = ()
    """Whole ones of which nothing tells when they were taken."""


def census(stored: Iterable[Stored], now: datetime) -> Census:
    """Sort the snapshots of one storage.

    Arguments:
        stored: Newest first.
        now: The present time.
    """
    listed = tuple(stored)
    whole = [one for one in listed if not (one.broken or one.doubt)]
    dated = [one for one in whole if one.taken_at.year > MINYEAR]
    believed = [one for one in dated if one.taken_at - now <= AHEAD]
    return Census(
        newest=believed[0] if believed else None,
        whole=len(believed),
        broken=tuple(one for one in listed if one.broken),
        ahead=tuple(one for one in dated if one.taken_at - now > AHEAD),
        undated=tuple(one for one in whole if one.taken_at.year == MINYEAR),
    )


def newest_times(
    stored: Iterable[Stored], now: datetime, *, vouched: bool
) -> list[datetime] | None:
    """List when the newest of the past was taken, and all of those from the future.

    Which of these can be believed depends on the schedule. What is older tells it nothing.

    Arguments:
        stored: Newest first.
        now: The present time.
        vouched: Whether only those with a manifest count.

    Returns:
        Nothing where a name tells no time and the manifest is missing.
    """
    times = []
    for one in stored:
        if one.broken or one.doubt:
            continue
        if one.taken_at.year == MINYEAR:
            return None
        if one.verified or not vouched:
            times.append(one.taken_at)
            if one.taken_at <= now:
                break
    return times


def deadline(timing: ScheduleSpec, newest: datetime, took: float = 0) -> DueTime:
    """Return when the snapshot after the newest one is due by its schedule, and when it is late.

    Late is: the next slot, the jitter, the time the last one took to be stored, and a grace of
    half the distance between two slots, at least a minute and at most an hour, in which one
    failed attempt is repeated.

    Arguments:
        timing: Of the storage.
        newest: When its newest snapshot was taken.
        took: Seconds from its request until it was stored.
    """
    due = timing.schedule.following(newest, newest).at
    gap = timing.schedule.following(due, due).at - due
    grace = min(max(gap / _GRACE_SHARE, _LEAST_GRACE), _MOST_GRACE)
    return DueTime(due, due + timing.jitter + timing.behind() + timedelta(seconds=took) + grace)


def age(newest: datetime, now: datetime) -> timedelta:
    """Return how old a snapshot is; one from a clock slightly ahead is new."""
    return max(now - newest, timedelta(0))
