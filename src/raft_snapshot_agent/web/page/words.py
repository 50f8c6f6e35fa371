"""Times and counts for people."""

from __future__ import annotations

from datetime import datetime, timedelta

from raft_snapshot_agent.core.ages import format_age

_SOON = timedelta(seconds=1)


def ago(moment: datetime | None, now: datetime) -> str:
    """Write the time since a point in time."""
    if moment is None:
        return "never"
    return "just now" if now - moment < _SOON else f"{format_age(now - moment)} ago"


def until(moment: datetime, now: datetime) -> str:
    """Write the time until a point in time."""
    return "now" if moment - now < _SOON else f"in {format_age(moment - now)}"


def clock(moment: datetime) -> str:
    """Write a point in time."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def iso(moment: datetime) -> str:
    """Write a point in time for programs."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def count(number: int, what: str) -> str:
    """Write a number of things: `1 run`, `2 runs`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
