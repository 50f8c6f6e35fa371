"""One storage's slot on its schedule: when it is due, and whether it was served."""

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
"""One that is due within this part of its interval is taken along with another."""
_AT_MOST = timedelta(minutes=1)
_SAME_SLOT = 4
"""Two storages whose newest are less than this part of an interval apart go along together."""
_NAMED_TO = timedelta(minutes=1)
"""A name may tell the time no more exactly."""


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """When a storage is to get snapshots."""

    schedule: Schedule
    jitter: timedelta = timedelta(0)
    """Each is put off by a random part of this."""
    catch_up: bool = True
    """Whether one that was missed while no agent ran is taken at the start."""
    phase: timedelta = field(default=timedelta(0), compare=False)
    """What is due together with that of other clusters is put off by this."""

    def first(self, anchor: datetime | None, now: datetime) -> datetime:
        """Return when the first one is due.

        Arguments:
            anchor: When the newest stored one was taken; `None`: there is none.
            now: The present time.
        """
        due = self.schedule.next_after(anchor, now - self.behind())
        if due + self.behind() > now:
            return due
        if not self.catch_up:
            return self.schedule.following(anchor or now, now).at
        # From there on an interval goes on; the moments of a cron expression stay where they are.
        return now + self.phase if isinstance(self.schedule, Every) else now

    def following(self, slot: datetime, now: datetime) -> Slot:
        """Return the slot after one that was served, passing over those whose turn is over.

        One whose moment has come is not over before it is due: many clusters may be behind by
        more than lies between two moments of a cron expression, and would miss each second one.
        """
        return self.schedule.following(slot, now - self.behind())

    def own(self, other: ScheduleSpec | None) -> ScheduleSpec:
        """Return a storage's own timing, or this where it has none, as far behind as this."""
        return self if other is None else replace(other, phase=self.phase)

    def behind(self) -> timedelta:
        """Return how long after its moment each is due, whenever that is."""
        return timedelta(0) if isinstance(self.schedule, Every) else self.phase

    def early(self) -> timedelta:
        """Return how much earlier than due a snapshot may be taken together with another.

        Two that were last served together drift apart by the moment a run takes to begin; a
        fixed distance is no appointment. The time of a cron expression is one.
        """
        if not isinstance(self.schedule, Every):
            return timedelta(0)
        return min(self.schedule.interval / _TAKEN_ALONG, _AT_MOST)

    def drift(self) -> timedelta:
        """Return how far apart two snapshots of one slot may be. Cron slots have fixed times."""
        if not isinstance(self.schedule, Every):
            return timedelta(0)
        return self.schedule.interval / _SAME_SLOT


@dataclass(frozen=True, slots=True)
class NextRun:
    """One storage's next slot."""

    timing: ScheduleSpec
    slot: datetime
    put_off: timedelta = timedelta(0)
    missed: int = 0
    """How many slots went by unused before it."""
    again: datetime | None = None
    """When one that failed, or was left to another agent, is looked at again in this slot."""
    seen: datetime | None = None
    """The newest snapshot known when the slot was opened; only a newer one serves the slot."""
    sure: bool = True
    """False: it could not be listed, and may hold this slot's snapshot already."""
    owed: bool = False
    """Whether this agent tried to store this slot's snapshot there and failed."""

    @property
    def due(self) -> datetime:
        return self.again or self.slot + self.put_off + self.timing.behind()

    def is_due(self, now: datetime) -> bool:
        """Return whether a run at `now` serves this storage."""
        if self.again is not None:  # alone, after a pause that is meant
            return self.again <= now
        return self.due - self.timing.early() <= now

    def served(self, now: datetime, spread: float) -> NextRun:
        """Go on to the next slot."""
        slot = self.timing.following(self.slot, now)
        return NextRun(self.timing, slot.at, self.timing.jitter * spread, slot.missed, seen=now)

    def is_served_by(self, newest: datetime | None) -> bool:
        """Return whether the newest snapshot of the storage is this slot's."""
        if newest is None or (self.seen is not None and newest <= self.seen):
            return False
        begin = self.slot - self.timing.early()
        return newest > begin - _NAMED_TO

    def postponed(
        self, now: datetime, spread: float, soonest: timedelta, latest: timedelta
    ) -> NextRun:
        """Look again within the same slot, or go on to the next if that is near."""
        interval = self.timing.schedule.following(now, now).at - now
        again = now + min(max(interval / 10, soonest), latest)
        following = self.served(now, spread)
        is_near = again >= following.slot + self.timing.behind()
        return following if is_near else replace(self, again=again)


def opened(
    name: str,
    timings: Mapping[str, ScheduleSpec],
    taken: Mapping[str, Iterable[datetime]],
    now: datetime,
    *,
    running: bool,
) -> NextRun:
    """Return the slot a storage is in, by what it holds itself.

    Where others on its schedule were served and it was not, or nobody knows, it is looked at
    again at moments that do not depend on when this agent was started: were it due at once, a
    crash loop would take a snapshot at every start for a storage that always fails.

    Arguments:
        name: Of the storage.
        timings: Of all storages.
        taken: When the snapshots that each holds were taken.
        now: The present time.
        running: Whether this agent ran all along, so that nothing was missed.
    """
    timing = timings[name]
    anyone = newest_alike(name, timings, taken, now)
    own = newest_credible(taken.get(name, ()), timing, now)
    if anyone is not None and own is not None and anyone - own <= timing.drift():
        own = anyone
    first = timing.schedule.next_after if running else timing.first
    holds = own is not None and timing.schedule.next_after(own, now) > now
    if anyone is None or holds or timing.schedule.next_after(anyone, now) <= now:
        return NextRun(timing, first(own if holds else anyone, now), seen=own)
    if name in taken and own is None and not (running or timing.catch_up):
        return NextRun(timing, first(anyone, now))
    again = next_try(anyone, now, timing.schedule.following(now, now).at - now)
    line = NextRun(timing, anyone, again=again, seen=own, sure=name in taken)
    following = line.served(now, 0.0)
    return replace(following, seen=own) if again >= following.slot else line


def newest_credible(
    times: Iterable[datetime], timing: ScheduleSpec, now: datetime
) -> datetime | None:
    """Return the newest time that is not too far in the future to be believed."""
    interval = timing.schedule.following(now, now).at - now
    return credible_anchor(times, now, interval)


def newest_alike(
    name: str,
    timings: Mapping[str, ScheduleSpec],
    taken: Mapping[str, Iterable[datetime]],
    now: datetime,
) -> datetime | None:
    """Find the newest snapshot in the storages that share a schedule, credible at `now`.

    One storage on its own tells too little: it may have been added today, or lie on another host.
    Where none on the schedule could be listed, all the others tell.
    """
    schedule = timings[name].schedule
    alike = [other for other in taken if other in timings and timings[other].schedule == schedule]
    times = [moment for other in alike or taken for moment in taken[other]]
    return newest_credible(times, timings[name], now)
