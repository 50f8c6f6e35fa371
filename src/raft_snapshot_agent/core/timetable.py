"""Which storages are due when, each on its own schedule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from raft_snapshot_agent.core.schedule import Every, Schedule, credible_anchor

_TAKEN_ALONG = 20
"""One that is due within this part of its interval is taken along with another."""
_AT_MOST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Line:
    """One storage's next slot."""

    schedule: Schedule
    due: datetime
    missed: int = 0
    """How many slots went by unused before it."""

    def is_due(self, now: datetime) -> bool:
        """Tell whether a run at `now` serves this storage.

        Two storages that were last served together drift apart by the moment a run takes to
        begin; a fixed distance is no appointment, so the later one is taken along. The time of
        a cron expression is one.
        """
        early = timedelta(0)
        if isinstance(self.schedule, Every):
            early = min(self.schedule.interval / _TAKEN_ALONG, _AT_MOST)
        return self.due - early <= now

    def served(self, now: datetime) -> Line:
        """Go on to the next slot."""
        slot = self.schedule.following(self.due, now)
        return Line(self.schedule, slot.at, slot.missed)


@dataclass(frozen=True, slots=True)
class Timetable:
    """Every storage's next slot."""

    lines: Mapping[str, Line]

    @classmethod
    def begin(
        cls,
        schedules: Mapping[str, Schedule],
        taken: Mapping[str, Iterable[datetime]],
        now: datetime,
    ) -> Timetable:
        """Go on where the storages say the last agent stopped; a crash loop takes no extra ones.

        Arguments:
            schedules: Of each storage.
            taken: When the snapshots that each holds were taken. One that is empty goes by those
                on the same schedule, one that is missing could not be listed and goes by all.
            now: The present time.
        """

        def known(name: str, schedule: Schedule) -> list[datetime]:
            alike = {other for other in schedules if schedules[other] == schedule}
            others = taken if name not in taken else taken.keys() & alike
            return [*taken.get(name, ())] or [one for other in others for one in taken[other]]

        return cls(
            {
                name: _first(schedule, known(name, schedule), now)
                for name, schedule in schedules.items()
            }
        )

    @property
    def next_due(self) -> datetime:
        """When the next storage is due."""
        return min(line.due for line in self.lines.values())

    def due(self, now: datetime) -> frozenset[str]:
        """Name the storages that a run at `now` serves."""
        return frozenset(name for name, line in self.lines.items() if line.is_due(now))

    def served(self, names: Iterable[str], now: datetime) -> Timetable:
        """Go on to the next slot of these storages."""
        return replace(
            self, lines={**self.lines, **{name: self.lines[name].served(now) for name in names}}
        )


def _first(schedule: Schedule, taken: Iterable[datetime], now: datetime) -> Line:
    interval = schedule.following(now, now).at - now
    return Line(schedule, schedule.next_after(credible_anchor(taken, now, interval), now))
