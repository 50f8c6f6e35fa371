"""Keeps a wall clock that jumped ahead from deleting the history (docs/decisions/0096).

Retention counts back from the newest snapshot. One that is dated days ahead makes all others too
old at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice

from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.history.guard import Point
from raft_snapshot_agent.core.schedules.schedule import Schedule
from raft_snapshot_agent.core.snapshots.snapshot import NO_TIME, Stored

_NOTABLE = timedelta(days=1)
"""Retention loses little by less, and a run may wait for others before its snapshot begins."""
_LEAST_DELETES = 24
"""Deletions that one run may always make."""


def explain_jump(others: Sequence[Point], now: Point) -> str:
    """Return by how much the wall clock jumped ahead since the newest snapshot; empty if not.

    This is known only within one boot of one host, by its clock that cannot be set. If that clock
    went back, with the memory of a virtual machine, all time between the two counts as a jump.

    Arguments:
        others: The snapshots before it.
        now: The new snapshot.
    """
    before = max(others, key=_find_start, default=None)
    if before is None or NO_TIME in (began := _find_start(before), ended := _find_start(now)):
        return ""
    since, until = before.span.began, now.span.began
    if not since.clock or since.clock != until.clock:
        return ""
    ahead = (ended - began).total_seconds() - max(0.0, until.seconds - since.seconds)
    if ahead <= _NOTABLE.total_seconds():
        return ""
    jump = format_age(timedelta(seconds=ahead))
    return (
        f"the wall clock of the agent's host jumped ahead by {jump} since {before.name}, and"
        " retention counts by it: check that it is right now, and its time service (it is right if"
        " a virtual machine was paused)"
    )


def _find_start(point: Point) -> datetime:
    return point.span.started_at or NO_TIME


def count_deletes(stored: Iterable[Stored], pace: Schedule, now: datetime) -> int:
    """Return how many deletions the schedule explains since the snapshot before the newest.

    A gap that is longer than the one before it may be a jump, and explains only one more.

    Arguments:
        stored: All snapshots, newest first.
        pace: The schedule.
        now: The present time.
    """
    present = (one.taken_at for one in stored if one.is_counted and one.taken_at <= now)
    _, second, third = (*islice(present, 3), now, now, now)[:3]
    usual = pace.following(third, second).missed + 1
    return _LEAST_DELETES + min(pace.following(second, now).missed, usual)
