"""Which storages are due when, each on its own schedule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from raft_snapshot_agent.core.schedules.slots import (
    NextRun,
    ScheduleSpec,
    newest_alike,
    newest_credible,
    opened,
)

__all__ = ["NextRun", "ScheduleSpec", "ScheduleState"]

_SOONEST, _LATEST = timedelta(minutes=5), timedelta(hours=1)
"""How long a storage that failed alone is left in peace: each try takes a snapshot of its own."""
_GLANCE = timedelta(seconds=1)
"""How soon, at the soonest, who stood by looks again whether the other did the work."""


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """Every storage's next slot."""

    lines: Mapping[str, NextRun]

    @classmethod
    def begin(
        cls,
        timings: Mapping[str, ScheduleSpec],
        taken: Mapping[str, Iterable[datetime]],
        now: datetime,
        before: ScheduleState | None = None,
    ) -> ScheduleState:
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

        def line(name: str, timing: ScheduleSpec) -> NextRun:
            if name not in taken and name in old and old[name].timing == timing:
                return old[name]
            return opened(name, timings, taken, now, running=False)

        return cls({name: line(name, timing) for name, timing in timings.items()})

    @property
    def next_due(self) -> datetime:
        """When the next storage is due."""
        return min(line.due for line in self.lines.values())

    def due(self, now: datetime) -> frozenset[str]:
        """Return the storages that a run at `now` serves."""
        return frozenset(name for name, line in self.lines.items() if line.is_due(now))

    def looked_at_again(self, now: datetime) -> frozenset[str]:
        """Return those whose slot was tried before, or left to another agent."""
        return frozenset(name for name in self.due(now) if self.lines[name].again is not None)

    def served(self, names: Iterable[str], now: datetime, spread: float = 0.0) -> ScheduleState:
        """Go on to the next slot of these storages.

        Arguments:
            names: Of the storages.
            now: The present time.
            spread: From 0 to 1: which part of the jitter it is put off by.
        """
        lines = {name: self.lines[name].served(now, spread) for name in names}
        return replace(self, lines={**self.lines, **lines})

    def failed(self, names: Iterable[str], now: datetime, owed: bool = True) -> ScheduleState:
        """Try these storages again after a pause that hurts no server.

        Arguments:
            names: Of the storages.
            now: The present time.
            owed: Whether the storages failed, not the server: nobody else makes up for that.
        """
        return self._postponed(names, now, 0.0, _SOONEST, _LATEST, owed=owed)

    def stood_by(self, names: Iterable[str], now: datetime, spread: float = 0.0) -> ScheduleState:
        """Look at these storages again soon; the agent that serves them may die in this slot.

        Arguments:
            names: Of the storages.
            now: The present time.
            spread: As for `served`.
        """
        return self._postponed(names, now, spread, _GLANCE, _SOONEST)

    def resumed(self, taken: Mapping[str, Iterable[datetime]], now: datetime) -> ScheduleState:
        """Take over from another agent: what it has not finished is due.

        Whatever `catch_up` says: this agent was running, so nothing was missed.

        Arguments:
            taken: When the snapshots that each storage holds now were taken; nothing: it is not
                known of any.
            now: The present time.
        """
        if not taken:
            return self
        timings = {name: line.timing for name, line in self.lines.items()}
        lines = {name: opened(name, timings, taken, now, running=True) for name in timings}
        return replace(self, lines=lines)

    def after_look(self, taken: Mapping[str, Iterable[datetime]], now: datetime) -> ScheduleState:
        """Go on to the next slot where a storage turns out to hold this slot's snapshot.

        Each storage goes by its own listing. One that cannot be listed stays due if this agent
        knows that it lacks the snapshot, and is looked at later otherwise.

        Arguments:
            taken: When the snapshots that each storage holds now were taken.
            now: The present time.
        """
        lines = dict(self.lines)
        for name in self.due(now):
            line = lines[name]
            if name not in taken:
                later = line.postponed(now, 0.0, _SOONEST, _LATEST)
                lines[name] = line if line.sure else later
            elif line.is_served_by(newest_credible(taken[name], line.timing, now)):
                lines[name] = line.served(now, 0.0)
            else:
                lines[name] = replace(line, sure=True)
        return replace(self, lines=lines)

    def after_others(
        self,
        taken: Mapping[str, Iterable[datetime]],
        now: datetime,
        private: Collection[str] = (),
    ) -> ScheduleState:
        """Put off what another agent has done meanwhile.

        Arguments:
            taken: When the snapshots that each storage holds now were taken.
            now: The present time.
            private: Storages in which other agents' snapshots cannot be seen, such as a folder
                of this host. The others tell whether the slot was served.
        """
        timings = {name: line.timing for name, line in self.lines.items()}
        lines = dict(self.lines)
        for name, line in self.lines.items():
            by_others = (name in private or name not in taken) and not line.owed
            known = taken if by_others else {name: taken.get(name, ())}
            anchor = newest_alike(name, timings, known, now)
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
        *,
        owed: bool = False,
    ) -> ScheduleState:
        lines = dict(self.lines)
        for name in names:
            line = lines[name].postponed(now, spread, soonest, latest)
            here = line.again is not None
            lines[name] = replace(line, owed=here and (owed or lines[name].owed))
        return replace(self, lines=lines)
