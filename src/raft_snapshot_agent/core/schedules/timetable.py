"""Tracks when each storage is due, by its own schedule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from raft_snapshot_agent.core.schedules.slots import (
    NextRun,
    ScheduleSpec,
    find_slot,
    newest_alike,
    newest_credible,
)

_SOONEST, _LATEST = timedelta(minutes=5), timedelta(hours=1)
"""Least pause before a retry for a storage that failed alone, since each takes a new snapshot."""
_GLANCE = timedelta(seconds=1)
"""Least pause before a skipped slot is checked again."""


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """The next slot of every storage."""

    lines: Mapping[str, NextRun]

    @classmethod
    def begin(
        cls,
        timings: Mapping[str, ScheduleSpec],
        taken: Mapping[str, Iterable[datetime]],
        now: datetime,
        before: ScheduleState | None = None,
        spread: float = 0.0,
    ) -> ScheduleState:
        """Return the state derived from the storages, so that restarts take no extra snapshots.

        Arguments:
            timings: Schedule of each storage.
            taken: Times of the snapshots in each storage; a missing storage could not be listed.
            now: The present time.
            before: State under the previous configuration, used for storages that cannot be listed,
                and for delays that were drawn already.
            spread: As for `served`.
        """
        old = before.lines if before is not None else {}

        def line(name: str, timing: ScheduleSpec) -> NextRun:
            known = old[name] if name in old and old[name].timing == timing else None
            if known is not None and name not in taken:
                return known
            put_off = timing.jitter * spread if known is None else known.put_off
            return find_slot(name, timings, taken, now, put_off, running=False)

        return cls({name: line(name, timing) for name, timing in timings.items()})

    @property
    def next_due(self) -> datetime:
        """When the next storage is due."""
        return min(line.due for line in self.lines.values())

    def due(self, now: datetime) -> frozenset[str]:
        """Return the storages that a run at `now` serves."""
        return frozenset(name for name, line in self.lines.items() if line.is_due(now))

    def looked_at_again(self, now: datetime) -> frozenset[str]:
        """Return the storages whose slot failed or was skipped before."""
        return frozenset(name for name in self.due(now) if self.lines[name].again is not None)

    def moved(self, timings: Mapping[str, ScheduleSpec]) -> ScheduleState:
        """Return the state with the same slots and another fixed delay.

        Arguments:
            timings: The same schedules with the new delay.
        """
        lines = {name: replace(line, timing=timings[name]) for name, line in self.lines.items()}
        return replace(self, lines=lines)

    def served(self, names: Iterable[str], now: datetime, spread: float = 0.0) -> ScheduleState:
        """Return the state with the next slot of these storages.

        Arguments:
            names: Names of the storages.
            now: The present time.
            spread: Fraction of the jitter to add, from 0 to 1.
        """
        lines = {name: self.lines[name].served(now, spread) for name in names}
        return replace(self, lines={**self.lines, **lines})

    def failed(
        self, names: Iterable[str], now: datetime, owed: bool = True, spread: float = 0.0
    ) -> ScheduleState:
        """Return the state with a retry for these storages after a pause.

        Arguments:
            names: Names of the storages.
            now: The present time.
            owed: Whether the storages failed, not the server, so that no other agent helps.
            spread: As for `served`.
        """
        return self._postponed(names, now, spread, _SOONEST, _LATEST, owed=owed)

    def stood_by(self, names: Iterable[str], now: datetime, spread: float = 0.0) -> ScheduleState:
        """Return the state with a check of these storages soon, in case the other agent fails.

        Arguments:
            names: Names of the storages.
            now: The present time.
            spread: As for `served`.
        """
        return self._postponed(names, now, spread, _GLANCE, _SOONEST)

    def resumed(self, taken: Mapping[str, Iterable[datetime]], now: datetime) -> ScheduleState:
        """Return the state after taking over from another agent, whose unfinished slots are due.

        `catch_up` does not matter: this agent was running, so nothing was missed.

        Arguments:
            taken: Times of the snapshots in each storage now; empty if unknown.
            now: The present time.
        """
        if not taken:
            return self
        timings = {name: line.timing for name, line in self.lines.items()}
        lines = {
            name: find_slot(name, timings, taken, now, line.put_off, running=True)
            for name, line in self.lines.items()
        }
        return replace(self, lines=lines)

    def after_look(
        self, taken: Mapping[str, Iterable[datetime]], now: datetime, spread: float = 0.0
    ) -> ScheduleState:
        """Return the state with the next slot for storages that have this slot's snapshot.

        Each storage is judged by its own listing. One that cannot be listed stays due if this agent
        knows that it lacks the snapshot; otherwise it is checked later.

        Arguments:
            taken: Times of the snapshots in each storage now.
            now: The present time.
            spread: As for `served`.
        """
        lines = dict(self.lines)
        for name in self.due(now):
            line = lines[name]
            if name not in taken:
                later = line.postponed(now, spread, _SOONEST, _LATEST)
                lines[name] = line if line.sure else later
            elif line.is_served_by(newest_credible(taken[name], line.timing, now)):
                lines[name] = line.served(now, spread)
            else:
                lines[name] = replace(line, sure=True)
        return replace(self, lines=lines)

    def after_others(
        self,
        taken: Mapping[str, Iterable[datetime]],
        now: datetime,
        private: Collection[str] = (),
    ) -> ScheduleState:
        """Return the state without slots that another agent has served.

        Arguments:
            taken: Times of the snapshots in each storage now.
            now: The present time.
            private: Storages without other agents' snapshots, such as a folder of this host; for
                these, the other storages decide.
        """
        timings = {name: line.timing for name, line in self.lines.items()}
        lines = dict(self.lines)
        for name, line in self.lines.items():
            by_others = (name in private or name not in taken) and not line.owed
            known = taken if by_others else {name: taken.get(name, ())}
            anchor = newest_alike(name, timings, known, now)
            # `catch_up` does not matter: this agent was running, so nothing was missed.
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
        *,
        owed: bool = False,
    ) -> ScheduleState:
        lines = dict(self.lines)
        for name in names:
            line = lines[name].postponed(now, spread, soonest, latest)
            here = line.again is not None
            lines[name] = replace(line, owed=here and (owed or lines[name].owed))
        return replace(self, lines=lines)
