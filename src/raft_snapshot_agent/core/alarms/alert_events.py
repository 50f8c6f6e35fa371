"""What may be told, and what one receiver is told: all that the configuration needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class AlertEvent(StrEnum):
    """What may be told, in the words of the configuration."""

    FAILED = "failed"
    """There is no new snapshot anywhere."""
    PARTIAL = "partial"
    """One required storage did not get it."""
    STALE = "stale"
    """The newest whole snapshot of a storage is too old, whoever should have taken the next."""
    GUARD_ALARM = "guard_alarm"
    """A snapshot looks like another cluster's; nothing is pruned."""
    DRILL_FAILED = "drill_failed"
    SCRUB_FAILED = "scrub_failed"
    """A stored snapshot was read again and is not whole."""
    LEASE_UNUSABLE = "lease_unusable"
    """The record of the lease can be neither read nor written."""
    LOGIN_FAILING = "login_failing"
    """The next login would be refused; the present token still works."""
    RECOVERED = "recovered"
    """Any of those is over."""
    START = "start"
    """A snapshot is under way."""
    SUCCESS = "success"
    """A run has stored its snapshot wherever it was to go."""


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
"""What lasts, until it is over; the gravest first."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one notifier tells."""

    on: frozenset[AlertEvent]
    repeat: timedelta
    """How long after it was told something that lasts is told again."""
    per_run: bool = False
    """Whether `failed` and `partial` are told of each run, not of what lasts."""
    clusters: frozenset[str] = frozenset()
    """Names; empty: all."""

    @property
    def lasting(self) -> frozenset[AlertEvent]:
        """The conditions among them."""
        return frozenset() if self.per_run else self.on.intersection(CONDITIONS)

    @property
    def of_runs(self) -> frozenset[AlertEvent]:
        """What is told of each run."""
        return self.on if self.per_run else self.on - {*CONDITIONS, AlertEvent.RECOVERED}
