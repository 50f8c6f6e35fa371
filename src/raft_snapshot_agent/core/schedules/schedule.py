"""When the next snapshot is due. All times are in UTC unless they say otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from typing import Protocol

from cronsim import CronSim, CronSimError

from raft_snapshot_agent.core.duration import format_duration

MISSED_LIMIT = 1000
"""Missed slots of a cron schedule are counted up to here."""

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_NEVER = datetime(9000, 1, 1, tzinfo=UTC)
"""Far enough to be never, near enough to add to."""
_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(minutes=5)
_LONGEST_STEP = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Slot:
    """A point on the schedule's grid."""

    at: datetime
    missed: int
    """How many points went by unused before it."""


class Schedule(Protocol):
    """When snapshots are to be taken."""

    def next_after(self, anchor: datetime | None, now: datetime) -> datetime:
        """Return when the next snapshot is due, at the start of the agent.

        Arguments:
            anchor: When the newest stored snapshot was taken; `None`: there is none.
            now: The present time.

        Returns:
            `now` if one is due already, however many were missed.
        """

    def following(self, due: datetime, now: datetime) -> Slot:
        """Return when the next one is due after the run that was due at `due` has ended.

        The same slot never comes twice, even when the clock was set back meanwhile.
        """


@dataclass(frozen=True, slots=True)
class Every:
    """A fixed distance apart, without drift."""

    interval: timedelta

    def __post_init__(self) -> None:
        """Refuse an interval that is no time at all.

        Raises:
            ValueError: It is zero or negative.
        """
        if self.interval <= timedelta(0):
            raise ValueError("the interval must be longer than zero")

    def __str__(self) -> str:
        """Say it as people do: `every 1h`."""
        return f"every {format_duration(self.interval)}"

    def next_after(self, anchor: datetime | None, now: datetime) -> datetime:
        if anchor is None:
            return now
        return min(max(anchor + self.interval, now), now + self.interval)

    def following(self, due: datetime, now: datetime) -> Slot:
        if now < due:
            return Slot(now + self.interval, 0)
        missed = (now - due) // self.interval
        return Slot(due + (missed + 1) * self.interval, missed)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields (six: seconds first), or an alias such as `@daily`.

    A time of day that daylight saving time leaves out comes right after the gap; one that it
    repeats comes once. Expressions with `*` for hours or minutes follow real time instead.
    """

    expression: str
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        """Refuse an expression that is none, or whose time never comes.

        Raises:
            ValueError: The message names the expression.
        """
        try:
            never = next(self._slots(datetime(2000, 1, 1, tzinfo=UTC)), None) is None
        except (CronSimError, ValueError) as error:
            raise ValueError(
                f"{self.expression!r} is not a cron expression ({error}); write five fields"
                f" such as '0 */4 * * *', or one of {', '.join(_ALIASES)}"
            ) from error
        if never:
            raise ValueError(f"the time of the cron expression {self.expression!r} never comes")

    def __str__(self) -> str:
        """Say it as people do: `at 0 */4 * * *`."""
        return f"at {self.expression}"

    def next_after(self, anchor: datetime | None, now: datetime) -> datetime:
        if anchor is None:
            return now
        return max(self._first_after(min(anchor, now)), now)

    def following(self, due: datetime, now: datetime) -> Slot:
        upcoming = self._first_after(now)
        if upcoming == due:
            upcoming = self._first_after(due)
        passed = takewhile(lambda slot: slot <= now, self._slots(due))
        return Slot(upcoming, sum(1 for _ in islice(passed, MISSED_LIMIT)))

    def _first_after(self, moment: datetime) -> datetime:
        return next(self._slots(moment), _NEVER)

    def _slots(self, moment: datetime) -> Iterator[datetime]:
        """Yield the slots after a moment, in order.

        cronsim drops `fold`, so in the hour that comes twice its first results may lie before
        the moment.
        """
        text = self.expression.strip()
        for local in CronSim(_ALIASES.get(text.lower(), text), moment.astimezone(self.zone)):
            slot = local.astimezone(UTC)
            if slot > moment:
                yield slot


def upcoming(schedule: Schedule, moment: datetime, count: int) -> list[datetime]:
    """List the next points on the grid."""
    slots = []
    for _ in range(count):
        moment = schedule.following(moment, moment).at
        slots.append(moment)
    return slots


def credible_anchor(times: Iterable[datetime], now: datetime, slack: timedelta) -> datetime | None:
    """Choose the newest time that is not too far in the future to be believed.

    Otherwise one snapshot taken under a wrong clock would put off the next one at every start.
    """
    return max((time for time in times if time - now <= slack), default=None)


def backoff(failures: int, interval: timedelta, jitter: float) -> timedelta:
    """Return how long to wait after a failure: 5 s, doubled each time, at most 5 min.

    Arguments:
        failures: In a row, from 1.
        interval: Between snapshots; the wait is never longer.
        jitter: From 0 (half the wait) to 1 (all of it).
    """
    doublings = min(max(failures - 1, 0), 6)
    return min(_FIRST_WAIT * (1 << doublings), interval, _LONGEST_WAIT) * (0.5 + jitter / 2)


def next_try(since: datetime, now: datetime, interval: timedelta) -> datetime:
    """Return when to try again what has been due since a given time.

    The moments lie 5 s, 10 s, 16 s, 32 s, 64 s, and then each minute after `since`. They do not
    depend on when the agent was started, so one that crashes in a loop keeps the same pauses.

    Arguments:
        since: When others were served.
        now: The present time.
        interval: Between snapshots; the first pause is at most a tenth of it.
    """
    age = max(now - since, timedelta(0))
    doubled = timedelta(seconds=1 << int(age.total_seconds()).bit_length() >> 1)
    step = min(max(doubled, min(_FIRST_WAIT, interval / 10)), _LONGEST_STEP)
    return since + (age // step + 1) * step
