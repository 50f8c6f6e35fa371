"""Which storages are due when, each on its own schedule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from raft_snapshot_agent.core.schedule import Every, Schedule, credible_anchor

_TAKEN_ALONG = 20
"""One that is due within this part of its interval is taken along with another."""
_AT_MOST = timedelta(minutes=1)
_SOONEST, _LATEST = timedelta(minutes=5), timedelta(hours=1)
"""How long a storage that failed alone is left in peace: each try takes a snapshot of its own."""
_GLANCE = timedelta(seconds=1)
"""How soon, at the soonest, who stood by looks again whether the other did the work."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a storage is to get snapshots."""

    schedule: Schedule
    jitter: timedelta = timedelta(0)
    """Each is put off by a random part of this."""
    catch_up: bool = True
    """Whether one that was missed while no agent ran is taken at the start."""

    def first(self, anchor: datetime | None, now: datetime) -> datetime:
        """Say when the first one is due.

        Arguments:
            anchor: When the newest stored one was taken; `None`: there is none.
            now: The present time.
        """
        due = self.schedule.next_after(anchor, now)
        if due > now or self.catch_up:
            return due
        return self.schedule.following(anchor or now, now).at

    def early(self) -> timedelta:
        """Say how much before its time one may be taken along with another.

        Two that were last served together drift apart by the moment a run takes to begin; a
        fixed distance is no appointment. The time of a cron expression is one.
        """
        if not isinstance(self.schedule, Every):
            return timedelta(0)
        return min(self.schedule.interval / _TAKEN_ALONG, _AT_MOST)


@dataclass(frozen=True, slots=True)
class Line:
    """One storage's next slot."""

    timing: Timing
    slot: datetime
    put_off: timedelta = timedelta(0)
    missed: int = 0
    """How many slots went by unused before it."""
    again: datetime | None = None
    """When one that failed, or was left to another agent, is looked at again in this slot."""

    @property
    def due(self) -> datetime:
        return self.again or self.slot + self.put_off

    def is_due(self, now: datetime) -> bool:
        """Tell whether a run at `now` serves this storage."""
        return self.due - self.timing.early() <= now

    def served(self, now: datetime, spread: float) -> Line:
        """Go on to the next slot."""
        slot = self.timing.schedule.following(self.slot, now)
        return Line(self.timing, slot.at, self.timing.jitter * spread, slot.missed)

    def postponed(
        self, now: datetime, spread: float, soonest: timedelta, latest: timedelta
    ) -> Line:
        """Look again within the same slot, or go on to the next if that is near."""
        interval = self.timing.schedule.following(now, now).at - now
        again = now + min(max(interval / 10, soonest), latest)
        following = self.served(now, spread)
        return following if again >= following.slot else replace(self, again=again)


@dataclass(frozen=True, slots=True)
class Timetable:
    """Every storage's next slot."""

    lines: Mapping[str, Line]

    @classmethod
    def begin(
        cls,
        timings: Mapping[str, Timing],
        taken: Mapping[str, Iterable[datetime]],
        now: datetime,
        before: Timetable | None = None,
    ) -> Timetable:
        """Go on where the storages say the last agent stopped; a crash loop takes no extra ones.

        Arguments:
            timings: Of each storage.
            taken: When the snapshots that each holds were taken; one that is missing could not
                be listed.
            now: The present time.
            before: Under the configuration before this one; it knows of storages that cannot
                be listed.
        """
        old = before.lines if before is not None else {}

        def line(name: str, timing: Timing) -> Line:
            if name not in taken and name in old and old[name].timing == timing:
                return old[name]
            return Line(timing, timing.first(_anchor(name, timings, taken, now), now))

        return cls({name: line(name, timing) for name, timing in timings.items()})

    @property
    def next_due(self) -> datetime:
        """When the next storage is due."""
        return min(line.due for line in self.lines.values())

    def due(self, now: datetime) -> frozenset[str]:
        """Name the storages that a run at `now` serves."""
        return frozenset(name for name, line in self.lines.items() if line.is_due(now))

    def looked_at_again(self, now: datetime) -> frozenset[str]:
        """Name those of them whose slot was tried, or left to another agent, before."""
        return frozenset(name for name in self.due(now) if self.lines[name].again is not None)

    def served(self, names: Iterable[str], now: datetime, spread: float = 0.0) -> Timetable:
        """Go on to the next slot of these storages.

        Arguments:
            names: Of the storages.
            now: The present time.
            spread: From 0 to 1: which part of the jitter it is put off by.
        """
        lines = {name: self.lines[name].served(now, spread) for name in names}
        return replace(self, lines={**self.lines, **lines})

    def failed(self, names: Iterable[str], now: datetime) -> Timetable:
        """Try these storages again after a pause that hurts no server."""
        return self._postponed(names, now, 0.0, _SOONEST, _LATEST)

    def stood_by(self, names: Iterable[str], now: datetime, spread: float = 0.0) -> Timetable:
        """Look at these again soon: whoever is to serve them may be lost within the slot.

        Arguments:
            names: Of the storages.
            now: The present time.
            spread: As for `served`.
        """
        return self._postponed(names, now, spread, _GLANCE, _SOONEST)

    def resumed(self, taken: Mapping[str, Iterable[datetime]], now: datetime) -> Timetable:
        """Take over from another agent: what it has not finished is due.

        Arguments:
            taken: When the snapshots that each storage holds now were taken; nothing: it is not
                known of any.
            now: The present time.
        """
        timings = {name: line.timing for name, line in self.lines.items()}

        def line(name: str, timing: Timing) -> Line:
            # Whatever `catch_up` says: this agent was running, so nothing was missed.
            anchor = _anchor(name, timings, taken, now)
            slot = timing.schedule.next_after(anchor, now)
            own = _anchor(name, timings, {name: taken.get(name, ())}, now)
            if anchor is not None and own is not None and slot > now:
                # The others got theirs before the end came; then it goes on along with them.
                left_out = timing.schedule.next_after(own, now) <= now
                slot = anchor if left_out else slot
            return Line(timing, slot)

        if not taken:
            return self
        return Timetable({name: line(name, timing) for name, timing in timings.items()})

    def after_others(self, taken: Mapping[str, Iterable[datetime]], now: datetime) -> Timetable:
        """Put off what another agent has done meanwhile.

        Arguments:
            taken: When the snapshots that each storage holds now were taken.
            now: The present time.
        """
        timings = {name: line.timing for name, line in self.lines.items()}
        lines = dict(self.lines)
        for name, line in self.lines.items():
            anchor = _anchor(name, timings, taken, now)
            # Whatever `catch_up` says: this agent was running, so nothing was missed.
            slot = line.slot if anchor is None else line.timing.schedule.next_after(anchor, now)
            if slot - line.timing.early() > now:
                lines[name] = replace(line, slot=max(slot, line.slot), again=None)
        return replace(self, lines=lines)

    def _postponed(
        self,
        names: Iterable[str],
        now: datetime,
        spread: float,
        soonest: timedelta,
        latest: timedelta,
    ) -> Timetable:
        lines = {name: self.lines[name].postponed(now, spread, soonest, latest) for name in names}
        return replace(self, lines={**self.lines, **lines})


def _anchor(
    name: str,
    timings: Mapping[str, Timing],
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
    interval = schedule.following(now, now).at - now
    return credible_anchor(times, now, interval)
