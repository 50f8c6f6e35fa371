"""The periods of the calendar for which retention keeps snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo

from raft_snapshot_agent.core.snapshots.snapshot import Stored

# Hours include the UTC offset, because one hour occurs twice when daylight saving time ends.
PERIODS = {
    "hourly": "%Y-%m-%d %H:00 %z",
    "daily": "%Y-%m-%d",
    "weekly": "%G-W%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}
"""The names of the periods, by rule."""


def newest_of_each(
    present: Sequence[Stored], rule: str, count: int, zone: tzinfo
) -> Iterator[tuple[str, Stored]]:
    """Yield the newest snapshot of each of the newest periods that have one.

    Arguments:
        present: Snapshots, newest first.
        rule: A rule of `PERIODS`.
        count: Maximum number of periods.
        zone: Time zone of the periods.
    """
    seen: set[str] = set()
    for one in present:
        if len(seen) >= count:
            return
        period = one.taken_at.astimezone(zone).strftime(PERIODS[rule])
        if period not in seen:
            seen.add(period)
            yield period, one
