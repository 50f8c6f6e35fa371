"""The schedule slot of one storage: when it is due, and whether it got its snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from raft_snapshot_agent.core.schedules.schedule import (
    Every,
    Schedule,
    Slot,
    credible_anchor,
    next_try,
)

_TAKEN_ALONG = 20
"""Fraction of the interval within which a slot is served early, together with another."""
_AT_MOST = timedelta(minutes=1)
_SAME_SLOT = 4
"""Fraction of the interval: storages whose newest snapshots are closer belong together."""
NAMED_TO = timedelta(minutes=1)
"""Precision of the time in a name."""


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """The schedule of a storage."""

    schedule: Schedule
    jitter: timedelta = timedelta(0)
    """Each slot is delayed by a random part of this."""
    catch_up: bool = True
    """Whether a snapshot missed while no agent ran is taken at the start."""
    phase: timedelta = field(default=timedelta(0), compare=False)
    """Delay that spreads clusters that are due at the same time."""

    def first(self, anchor: datetime | None, now: datetime) -> datetime:
        """Return when the first snapshot is due.

        Arguments:
            anchor: When the newest stored snapshot was taken; `None` without one.
            now: The present time.
        """
        if (due := self.upcoming(anchor, now, self.behind())) is not None:
            return due
        if not self.catch_up:
            return self.schedule.following(anchor or now, now).at
        # Intervals continue from the delayed time; cron times are not moved.
        return now + self.phase if isinstance(self.schedule, Every) else now

    def upcoming(
        self,
        anchor: datetime | None,
        now: datetime,
        behind: timedelta,
        put_off: timedelta = timedelta(0),
    ) -> datetime | None:
        """Return the slot after the newest snapshot; `None` if its delayed time has passed.

        Arguments:
            anchor: When the newest stored snapshot was taken; `None` without one.
            now: The present time.
            behind: The fixed delay of the slots.
            put_off: The random delay of this slot.
        """
        if anchor is None:
            return None
        since = min(anchor, now - behind)
        slot = self.schedule.following(since, since).at
        return slot if slot + behind + put_off > now else None

    def following(self, slot: datetime, now: datetime) -> Slot:
        """Return the slot after a served one, skipping missed slots.

        A slot is not missed before its delayed time: with many clusters the delay may exceed the
        interval of a cron expression, and every second slot would be lost.
        """
        return self.schedule.following(slot, now - self.behind())

    def own(self, other: ScheduleSpec | None) -> ScheduleSpec:
        """Return a storage's own schedule, else this one, with the delay of this one."""
        return self if other is None else replace(other, phase=self.phase)

    def behind(self) -> timedelta:
        """Return the fixed delay of each slot."""
        return timedelta(0) if isinstance(self.schedule, Every) else self.phase

    def early(self) -> timedelta:
        """Return how much before its time a slot may be served together with another.

        Intervals of storages served together drift apart by the start-up time of a run, so an early
        snapshot is acceptable. Cron times are exact.
        """
        if not isinstance(self.schedule, Every):
            return timedelta(0)
        return min(self.schedule.interval / _TAKEN_ALONG, _AT_MOST)

    def drift(self) -> timedelta:
        """Return how far apart two snapshots of one slot may be."""
        if not isinstance(self.schedule, Every):
            return timedelta(0)
        return self.schedule.interval / _SAME_SLOT


@dataclass(frozen=True, slots=True)
class NextRun:
    """The next slot of one storage."""

    timing: ScheduleSpec
    slot: datetime
    put_off: timedelta = timedelta(0)
    missed: int = 0
    """Number of missed slots before it."""
    again: datetime | None = None
    """When a failed or skipped slot is tried again."""
    seen: datetime | None = None
    """The newest snapshot known when the slot began; only a newer one fulfils the slot."""
    sure: bool = True
    """Whether it could be listed; if not, it may already have this slot's snapshot."""
    owed: bool = False
    """Whether this agent failed to store this slot's snapshot there."""

    @property
    def due(self) -> datetime:
        return self.again or self.slot + self.put_off + self.timing.behind()

    def is_due(self, now: datetime) -> bool:
        """Return whether a run at `now` serves this storage."""
        if self.again is not None:  # a retry, whose pause is intended
            return self.again <= now
        return self.due - self.timing.early() <= now

    def served(self, now: datetime, spread: float) -> NextRun:
        """Return the next slot."""
        slot = self.timing.following(self.slot, now)
        return NextRun(self.timing, slot.at, self.timing.jitter * spread, slot.missed, seen=now)

    def is_served_by(self, newest: datetime | None) -> bool:
        """Return whether the newest snapshot of the storage fulfils this slot."""
        if newest is None or (self.seen is not None and newest <= self.seen):
            return False
        begin = self.slot - self.timing.early()
        return newest > begin - NAMED_TO

    def postponed(
        self, now: datetime, spread: float, soonest: timedelta, latest: timedelta
    ) -> NextRun:
        """Return a retry within the same slot, or the next slot if that is near."""
        interval = self.timing.schedule.following(now, now).at - now
        again = now + min(max(interval / 10, soonest), latest)
        following = self.served(now, spread)
        is_near = again >= following.slot + self.timing.behind()
        return following if is_near else replace(self, again=again)


def find_slot(
    name: str,
    timings: Mapping[str, ScheduleSpec],
    taken: Mapping[str, Iterable[datetime]],
    now: datetime,
    put_off: timedelta,
    *,
    running: bool,
) -> NextRun:
    """Return the present slot of a storage, by its own snapshots.

    If others on its schedule got a snapshot and it did not, or if that is unknown, it is retried at
    times that do not depend on the start of this agent. If it were due at once, a crash loop would
    take a snapshot at every start for a storage that always fails.

    Arguments:
        name: Name of the storage.
        timings: Schedules of all storages.
        taken: Times of the snapshots in each storage.
        now: The present time.
        put_off: The random delay of a slot that is still to come. A missed one is due at once.
        running: Whether this agent has been running, so that nothing was missed.
    """
    timing = timings[name]
    anyone = newest_alike(name, timings, taken, now)
    own = newest_credible(taken.get(name, ()), timing, now)
    if anyone is not None and own is not None and anyone - own <= timing.drift():
        own = anyone
    first = timing.schedule.next_after if running else timing.first

    def begin(anchor: datetime | None) -> NextRun:
        behind = timedelta(0) if running else timing.behind()
        slot = timing.upcoming(anchor, now, behind, put_off)
        if slot is None and (running or timing.catch_up):
            return NextRun(timing, first(anchor, now), seen=own)
        return NextRun(timing, slot or first(anchor, now), put_off, seen=own)

    holds = own is not None and timing.schedule.next_after(own, now) > now
    if anyone is None or holds or timing.schedule.next_after(anyone, now) <= now:
        return begin(own if holds else anyone)
    if name in taken and own is None and not (running or timing.catch_up):
        return begin(anyone)
    again = next_try(anyone, now, timing.schedule.following(now, now).at - now)
    line = NextRun(timing, anyone, again=again, seen=own, sure=name in taken)
    following = line.served(now, 0.0)
    following = replace(following, put_off=put_off, seen=own)
    return following if again >= following.slot else line


def newest_credible(
    times: Iterable[datetime], timing: ScheduleSpec, now: datetime
) -> datetime | None:
    """Return the newest time that is not too far in the future."""
    interval = timing.schedule.following(now, now).at - now
    return credible_anchor(times, now, interval)


def newest_alike(
    name: str,
    timings: Mapping[str, ScheduleSpec],
    taken: Mapping[str, Iterable[datetime]],
    now: datetime,
) -> datetime | None:
    """Return the newest credible snapshot in the storages that share a schedule.

    One storage alone is not enough: it may be new, or on another host. If no storage with the
    schedule could be listed, all others are used.
    """
    schedule = timings[name].schedule
    alike = [other for other in taken if other in timings and timings[other].schedule == schedule]
    times = [moment for other in alike or taken for moment in taken[other]]
    return newest_credible(times, timings[name], now)
