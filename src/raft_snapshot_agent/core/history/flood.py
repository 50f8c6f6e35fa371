"""When more snapshots came than agents and people take: somebody else may have put them there.

A manifest tells which snapshots were there when its own was stored (docs/decisions/0037). Whoever
may only create objects can add such a word, but cannot take one away: so any of them that speaks
against what lies there now is heard.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from raft_snapshot_agent.core.history.proof import (
    AHEAD,
    Known,
    extend_known,
    fingerprint,
    read_known,
)
from raft_snapshot_agent.core.schedules.schedule import Schedule, upcoming
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored

_AGENTS = 2
"""Snapshots per slot: without a lease two agents may take one each."""
_MORE = 8
"""Witnesses that are heard beside those that may come in one interval unnoticed."""
_COMPARED = 16
"""Older snapshots that tell how many there used to be."""
_FEW = 4
_GAPS = 8
"""Distances between slots that are looked at, of which the shortest tells the pace."""
_HINT = "delete those that nobody of you took, or raise guard.max_extra"

Fingerprinted = tuple[str, str]
"""A name, and what manifests tell of it."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A snapshot whose manifest tells which others were there before it."""

    stored: Stored
    manifest: Manifest

    def never_saw(self, listed: Sequence[Fingerprinted]) -> int:
        """Count those that came after it, or claim to be older and were not there.

        Of those that lay behind the last one that it names it knows only how many they were.

        Arguments:
            listed: Newest first.
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
        """Return its manifest as it also tells of some others; nothing: it does already.

        Arguments:
            listed: What lies there and what is to come, newest first.
            names: Of those that it is to tell of.
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
        # What lies behind the last that it names is counted, where it names not all.
        last = _last_named(listed, known) if known.more else len(listed)
        marks = [mark for place, mark in fresh if place < last]
        text = extend_known(self.manifest, marks, more=len(fresh) - len(marks))
        return replace(self.manifest, known=text)


def fingerprinted(listed: Iterable[Stored]) -> tuple[Fingerprinted, ...]:
    """Work out the fingerprint of each name, once for all that are compared with them."""
    return tuple((one.name, fingerprint(one.name)) for one in listed)


def _last_named(listed: Sequence[Fingerprinted], known: Known) -> int:
    """Return where the last one lies that a manifest names."""
    places = range(len(listed) - 1, -1, -1)
    return next((at for at in places if listed[at][1] in known.fingerprints), len(listed))


def count_witnesses(extra: int) -> int:
    """Return how many witnesses are heard: more than may hide the others in one interval."""
    return extra + _MORE


def slots(pace: Schedule, since: datetime, now: datetime) -> int:
    """Count the points on the schedule between two moments, and the one under way."""
    return pace.following(since, now).missed + 1


def explains(pace: Schedule, count: int, since: datetime, *, now: datetime, extra: int) -> bool:
    """Return whether schedule and people may have led to so many snapshots since some time."""
    return count <= extra + _AGENTS * slots(pace, since, now)


def explain_flood(
    listed: Sequence[Stored],
    witnesses: Sequence[Witness],
    pace: Schedule,
    now: datetime,
    extra: int,
) -> str:
    """Return why there are more new snapshots than can be explained; empty if there are not.

    Arguments:
        listed: What lies there, newest first.
        witnesses: The newest that tell what was there before them.
        pace: The schedule.
        now: The present time.
        extra: How many people may take by hand.
    """
    counted = [one for one in listed if one.counts and one.taken_at <= now + AHEAD]
    marked = fingerprinted(counted) if witnesses else ()
    for newer, witness in enumerate(witnesses):
        fresh = witness.never_saw(marked)
        # Each of those that came later tells itself that it is of an agent.
        allowed = extra + newer + _AGENTS * slots(pace, witness.stored.taken_at, now)
        if fresh > allowed:
            return (
                f"{fresh} snapshots were added since {witness.stored.name}, but schedule and"
                f" guard.max_extra explain {allowed}: {_HINT}"
            )
    return _find_crowd(counted, pace, now, extra)


def _find_crowd(counted: Sequence[Stored], pace: Schedule, now: datetime, extra: int) -> str:
    """Find an interval with more snapshots than the schedule and the older ones explain.

    So many would hide all witnesses that another wrote.
    """
    # Over a weekend without slots come all that retention keeps of a schedule before this one.
    interval = min(later - one for one, later in pairwise(upcoming(pace, now, _GAPS + 1)))
    recent = [one for one in counted if now - one.taken_at < interval]
    older = counted[len(recent) :]
    allowed = extra + _AGENTS * _usual(
        older if len(older) >= _FEW else counted[-_COMPARED:], interval
    )
    if len(recent) <= allowed:
        return ""
    return (
        f"{len(recent)} snapshots are of the last {interval}, of which schedule and"
        f" guard.max_extra explain {allowed}: {_HINT}"
    )


def _usual(older: Sequence[Stored], interval: timedelta) -> int:
    """Count how many used to come in an interval: the schedule may be a new one."""
    compared = older[:_COMPARED]
    if len(compared) < _FEW:
        return 1
    gaps = [(newer.taken_at - one.taken_at).total_seconds() for newer, one in pairwise(compared)]
    return max(1, round(interval.total_seconds() / max(1.0, statistics.median(gaps))))
