"""Computes when the next snapshot is due. Times are in UTC unless stated otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from typing import Protocol

from cronsim import CronSim, CronSimError

from raft_snapshot_agent.core.duration import format_duration

MISSED_LIMIT = 1000
"""Most missed slots of a cron schedule that are counted."""

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
"""A time that is never reached, but to which durations can still be added."""
_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(minutes=5)
_LONGEST_STEP = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Slot:
    """One time of the schedule."""

    at: datetime
    missed: int
    """Number of missed slots before it."""


class Schedule(Protocol):
    """The times at which snapshots are due."""

    def next_after(self, anchor: datetime | None, now: datetime) -> datetime:
        """Return when the next snapshot is due after the start of the agent.

        Arguments:
            anchor: When the newest stored snapshot was taken; `None` without one.
            now: The present time.

        Returns:
            `now` if a snapshot is already due, however many were missed.
        """

    def following(self, due: datetime, now: datetime) -> Slot:
        """Return the next slot after the run for the slot `due` has ended.

        The same slot never occurs twice, even if the clock was set back.
        """


@dataclass(frozen=True, slots=True)
class Every:
    """A fixed interval, without drift."""

    interval: timedelta

    def __post_init__(self) -> None:
        """Refuse an interval that is not positive.

        Raises:
            ValueError: It is zero or negative.
        """
        if self.interval <= timedelta(0):
            raise ValueError("the interval must be longer than zero")

    def __str__(self) -> str:
        """Return a readable form: `every 1h`."""
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

    A local time skipped by daylight saving time occurs right after the gap; a repeated one occurs
    once. Expressions with `*` for hours or minutes follow elapsed time instead.
    """

    expression: str
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        """Refuse an expression that is invalid or never matches.

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
        """Return a readable form: `at 0 */4 * * *`."""
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
        """Yield the slots after a time, in order.

        cronsim drops `fold`, so in a repeated hour its first results may be before that time.
        """
        text = self.expression.strip()
        for local in CronSim(_ALIASES.get(text.lower(), text), moment.astimezone(self.zone)):
            slot = local.astimezone(UTC)
            if slot > moment:
                yield slot


def upcoming(schedule: Schedule, moment: datetime, count: int) -> list[datetime]:
    """List the next times of a schedule."""
    slots = []
    for _ in range(count):
        moment = schedule.following(moment, moment).at
        slots.append(moment)
    return slots


def credible_anchor(times: Iterable[datetime], now: datetime, slack: timedelta) -> datetime | None:
    """Return the newest time that is not too far in the future.

    Otherwise one snapshot taken with a wrong clock would delay the next one at every start.
    """
    return max((time for time in times if time - now <= slack), default=None)


def backoff(failures: int, interval: timedelta, jitter: float) -> timedelta:
    """Return how long to wait after a failure: 5 s, doubled each time, at most 5 min.

    Arguments:
        failures: Number of consecutive failures, from 1.
        interval: Interval between snapshots; the wait is never longer.
        jitter: From 0 (half the wait) to 1 (all of it).
    """
    doublings = min(max(failures - 1, 0), 6)
    return min(_FIRST_WAIT * (1 << doublings), interval, _LONGEST_WAIT) * (0.5 + jitter / 2)


def next_try(since: datetime, now: datetime, interval: timedelta) -> datetime:
    """Return when to retry a snapshot that has been due since a given time.

    The retries are 5 s, 10 s, 16 s, 32 s, 64 s, and then every minute after `since`. They do not
    depend on the start of the agent, so an agent in a crash loop keeps the same pauses.

    Arguments:
        since: When other storages got their snapshot.
        now: The present time.
        interval: Interval between snapshots; the first pause is at most a tenth of it.
    """
    age = max(now - since, timedelta(0))
    doubled = timedelta(seconds=1 << int(age.total_seconds()).bit_length() >> 1)
    step = min(max(doubled, min(_FIRST_WAIT, interval / 10)), _LONGEST_STEP)
    return since + (age // step + 1) * step
