"""Detects more new snapshots than schedule and operators explain, which may be forged.

A manifest lists the snapshots that existed when its own was stored (docs/decisions/0037). An
attacker who may only create objects can add manifests but not remove any, so every manifest that
contradicts the present listing counts.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from raft_snapshot_agent.core.history.proof import Known, extend_known, fingerprint, read_known
from raft_snapshot_agent.core.schedules.schedule import Schedule, upcoming
from raft_snapshot_agent.core.snapshots.snapshot import AHEAD, Manifest, Stored

_AGENTS = 2
"""Snapshots per slot: without a lease, two agents may take one each."""
_MORE = 8
"""Witnesses in addition to the snapshots that may be added unnoticed in one interval."""
_COMPARED = 16
"""Older snapshots used to determine the usual number."""
_FEW = 4
_GAPS = 8
"""Number of intervals between slots that are compared; the shortest one counts."""
_HINT = (
    "find the snapshots that no agent and no operator took (raft-snapshot-agent list), and delete"
    " each of them in the storage, together with its .json file; if all are genuine, raise"
    " guard.max_extra"
)

Fingerprinted = tuple[str, str]
"""A snapshot, with its fingerprint in manifests."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many snapshots may come."""

    schedule: Schedule
    extra: int = 24
    """How many more than the schedule explains, such as those of operators."""

    @property
    def witnesses(self) -> int:
        """The number of witnesses: more than can be forged unnoticed in one interval."""
        return self.extra + _MORE

    def count_explained(self, since: datetime, now: datetime) -> int:
        """Count what schedule and operators explain between two times, with the present slot."""
        return self.extra + _AGENTS * (self.schedule.following(since, now).missed + 1)

    def explains(self, count: int, since: datetime, *, now: datetime) -> bool:
        """Return whether schedule and operators explain a number of snapshots since some time."""
        return count <= self.count_explained(since, now)


@dataclass(frozen=True, slots=True)
class Witness:
    """A snapshot whose manifest lists the snapshots that existed before it."""

    stored: Stored
    manifest: Manifest

    def never_saw(self, listed: Sequence[Fingerprinted]) -> int:
        """Count the snapshots added after it, including those dated older than it.

        For snapshots older than the last one it names, its manifest has only a count.

        Arguments:
            listed: All snapshots, newest first.
        """
        known = read_known(self.manifest)
        if known is None:
            return 0
        unseen = [
            place
            for place, (name, mark) in enumerate(listed)
            if mark not in known.fingerprints and name != self.stored.name
        ]
        if not known.more:
            return len(unseen)
        behind = len(unseen) - bisect_right(unseen, _last_named(listed, known))
        return len(unseen) - min(behind, known.more)

    def tell_of(self, listed: Sequence[Fingerprinted], names: Container[str]) -> Manifest | None:
        """Return its manifest extended by further snapshots; `None` if it has them already.

        Arguments:
            listed: Present and future snapshots, newest first.
            names: Names of the snapshots to add.
        """
        known = read_known(self.manifest)
        if known is None:
            return None
        fresh = [
            (place, mark)
            for place, (name, mark) in enumerate(listed)
            if name in names and name != self.stored.name and mark not in known.fingerprints
        ]
        if not fresh:
            return None
        # Snapshots older than the last one it names are only counted.
        last = _last_named(listed, known) if known.more else len(listed)
        marks = [mark for place, mark in fresh if place < last]
        text = extend_known(self.manifest, marks, more=len(fresh) - len(marks))
        return replace(self.manifest, known=text)


def fingerprinted(listed: Iterable[Stored]) -> tuple[Fingerprinted, ...]:
    """Return each snapshot with its fingerprint, which is computed only once."""
    return tuple((one.name, fingerprint(one.name)) for one in listed)


def _last_named(listed: Sequence[Fingerprinted], known: Known) -> int:
    """Return the position of the last snapshot that a manifest names."""
    places = range(len(listed) - 1, -1, -1)
    return next((at for at in places if listed[at][1] in known.fingerprints), len(listed))


def explain_flood(
    listed: Sequence[Stored], witnesses: Sequence[Witness], pace: Pace, now: datetime
) -> str:
    """Return why there are more new snapshots than can be explained; empty if there are not.

    Arguments:
        listed: All snapshots, newest first.
        witnesses: The newest snapshots with a list of earlier ones.
        pace: How many may come.
        now: The present time.
    """
    counted = [one for one in listed if one.is_counted and one.taken_at <= now + AHEAD]
    marked = fingerprinted(counted) if witnesses else ()
    for newer, witness in enumerate(witnesses):
        fresh = witness.never_saw(marked)
        # Each later snapshot has a manifest of an agent.
        allowed = newer + pace.count_explained(witness.stored.taken_at, now)
        if fresh > allowed:
            return (
                f"{fresh} snapshots were added since {witness.stored.name}, but schedule and"
                f" guard.max_extra explain {allowed}: {_HINT}"
            )
    return _find_crowd(counted, pace, now)


def _find_crowd(counted: Sequence[Stored], pace: Pace, now: datetime) -> str:
    """Find an interval with more snapshots than the schedule and the older ones explain.

    So many would replace all genuine witnesses.
    """
    # An interval without slots may contain all snapshots kept from a previous schedule.
    interval = min(later - one for one, later in pairwise(upcoming(pace.schedule, now, _GAPS + 1)))
    recent = [one for one in counted if now - one.taken_at < interval]
    older = counted[len(recent) :]
    allowed = pace.extra + _AGENTS * _usual(
        older if len(older) >= _FEW else counted[-_COMPARED:], interval
    )
    if len(recent) <= allowed:
        return ""
    return (
        f"{len(recent)} snapshots are of the last {interval}, of which schedule and"
        f" guard.max_extra explain {allowed}: {_HINT}"
    )


def _usual(older: Sequence[Stored], interval: timedelta) -> int:
    """Return the usual number per interval, because the schedule may have changed."""
    compared = older[:_COMPARED]
    if len(compared) < _FEW:
        return 1
    gaps = [(newer.taken_at - one.taken_at).total_seconds() for newer, one in pairwise(compared)]
    return max(1, round(interval.total_seconds() / max(1.0, statistics.median(gaps))))
