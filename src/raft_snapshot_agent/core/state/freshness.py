"""Decides whether the newest snapshot of a storage is too old."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Stored

_AHEAD = timedelta(minutes=5)
"""How far in the future a snapshot may be dated, because clocks of two hosts differ."""
_GRACE_SHARE = 2
_LEAST_GRACE, _MOST_GRACE = timedelta(minutes=1), timedelta(hours=1)


def is_ahead(moment: datetime, now: datetime) -> bool:
    """Return whether a time is further in the future than clocks of two hosts differ."""
    return moment - now > _AHEAD


@dataclass(frozen=True, slots=True)
class DueTime:
    """When the next snapshot is due, and when it is late."""

    due: datetime
    late: datetime

    def is_missed(self, now: datetime) -> bool:
        """Return whether the snapshot is late."""
        return now > self.late


@dataclass(frozen=True, slots=True)
class Census:
    """The snapshots of one storage at some time, by usability."""

    newest: Stored | None
    """The newest whole snapshot that is not dated in the future."""
    whole: int
    """Number of such snapshots."""
    broken: tuple[Stored, ...] = ()
    ahead: tuple[Stored, ...] = ()
    """Whole snapshots dated in the future, which prove no freshness."""
    undated: tuple[Stored, ...] = ()
    """Whole snapshots of unknown time."""
    doubtful: tuple[Stored, ...] = ()
    """Others that do not count, such as those with a wrong signature."""

    @property
    def mismatched(self) -> tuple[Stored, ...]:
        """Those that were read and are not what their manifests describe."""
        return tuple(one for one in self.doubtful if one.mismatched)

    def describe_doubtful(self) -> str:
        """Say that newer snapshots are there, and why they do not count; empty without any."""
        newest = self.newest
        later = [one for one in self.doubtful if newest is None or one.taken_at > newest.taken_at]
        if not later:
            return ""
        return f"{len(later)} stored do not count, such as {later[0].name}: {later[0].why_doubted}"


def census(stored: Iterable[Stored], now: datetime) -> Census:
    """Classify the snapshots of one storage.

    Arguments:
        stored: Newest first.
        now: The present time.
    """
    listed = tuple(stored)
    whole = [one for one in listed if one.is_counted]
    dated = [one for one in whole if one.dated]
    believed = [one for one in dated if not is_ahead(one.taken_at, now)]
    return Census(
        newest=believed[0] if believed else None,
        whole=len(believed),
        broken=tuple(one for one in listed if one.broken),
        ahead=tuple(one for one in dated if is_ahead(one.taken_at, now)),
        undated=tuple(one for one in whole if not one.dated),
        doubtful=tuple(one for one in listed if not (one.is_counted or one.broken)),
    )


def newest_times(
    stored: Iterable[Stored], now: datetime, *, vouched: bool
) -> list[datetime] | None:
    """List the time of the newest past snapshot, and the times of all future ones.

    Which of them are credible depends on the schedule, for which older ones do not matter.

    Arguments:
        stored: Newest first.
        now: The present time.
        vouched: Whether only snapshots with a manifest count.

    Returns:
        The times; `None` if a name has no time and the manifest is missing.
    """
    times = []
    for one in stored:
        if not one.is_counted:
            continue
        if not one.dated:
            return None
        if one.verified or not vouched:
            times.append(one.taken_at)
            if one.taken_at <= now:
                break
    return times


def deadline(timing: ScheduleSpec, newest: datetime, took: float = 0) -> DueTime:
    """Return when the next snapshot is due by its schedule, and when it is late.

    It is late after the next slot, plus the jitter, plus the duration of the last run, plus a grace
    period for one retry: half the interval between two slots, at least a minute, at most an hour.

    Arguments:
        timing: Schedule of the storage.
        newest: When its newest snapshot was taken.
        took: Seconds from the request of that snapshot until it was stored.
    """
    due = timing.schedule.following(newest, newest).at
    gap = timing.schedule.following(due, due).at - due
    grace = min(max(gap / _GRACE_SHARE, _LEAST_GRACE), _MOST_GRACE)
    return DueTime(due, due + timing.jitter + timing.behind() + timedelta(seconds=took) + grace)


def age(newest: datetime, now: datetime) -> timedelta:
    """Return the age of a snapshot; zero if its clock was slightly ahead."""
    return max(now - newest, timedelta(0))
