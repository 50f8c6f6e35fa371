"""The events that can be reported, and which of them one receiver gets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class AlertEvent(StrEnum):
    """Events that can be reported, as named in the configuration."""

    FAILED = "failed"
    """A run stored no snapshot in any storage."""
    PARTIAL = "partial"
    """A required storage did not get the snapshot."""
    STALE = "stale"
    """The newest whole snapshot of a storage is too old, for whatever reason."""
    GUARD_ALARM = "guard_alarm"
    """A snapshot is not as expected, such as one of another cluster; retention is suspended."""
    DRILL_FAILED = "drill_failed"
    """The last drill failed, or a scheduled one cannot be run or is overdue."""
    SCRUB_FAILED = "scrub_failed"
    """A stored snapshot was read back and is broken, or not what its manifest describes."""
    LEASE_UNUSABLE = "lease_unusable"
    """The lease record cannot be read or written."""
    LOGIN_FAILING = "login_failing"
    """The next login would be refused; the present token still works."""
    RECOVERED = "recovered"
    """One of the conditions above has ended."""
    START = "start"
    """A run has started."""
    SUCCESS = "success"
    """A run has stored its snapshot in all storages."""


CONDITIONS = (
    AlertEvent.FAILED,
    AlertEvent.PARTIAL,
    AlertEvent.STALE,
    AlertEvent.GUARD_ALARM,
    AlertEvent.DRILL_FAILED,
    AlertEvent.SCRUB_FAILED,
    AlertEvent.LEASE_UNUSABLE,
    AlertEvent.LOGIN_FAILING,
)
"""Events that are lasting conditions, most severe first."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Which events one notifier reports."""

    on: frozenset[AlertEvent]
    repeat: timedelta
    """Interval after which an ongoing condition is reported again."""
    per_run: bool = False
    """Whether `failed` and `partial` are reported per run instead of as conditions."""
    clusters: frozenset[str] = frozenset()
    """Names of clusters; empty for all."""

    @property
    def lasting(self) -> frozenset[AlertEvent]:
        """The lasting conditions among the events."""
        return frozenset() if self.per_run else self.on.intersection(CONDITIONS)

    @property
    def of_runs(self) -> frozenset[AlertEvent]:
        """The events that are reported per run."""
        return self.on if self.per_run else self.on - {*CONDITIONS, AlertEvent.RECOVERED}
