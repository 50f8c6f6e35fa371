"""Detects that the cluster was wiped or replaced, so that new snapshots must not displace old ones.

Each snapshot is compared with those taken before it (docs/decisions/0031). In one cluster the state
at a higher Raft index is the later one, and its term is never lower. A lower index in a snapshot
that was certainly taken later means that the cluster went back. It means nothing in a snapshot that
was taken earlier or at the same time, or by a deposed leader that does not know it yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from raft_snapshot_agent.core.snapshot_file.mount_counts import MountCounts, explain_loss
from raft_snapshot_agent.core.snapshots.notes import (
    Restored,
    moment,
)
from raft_snapshot_agent.core.snapshots.snapshot import Instant, Manifest, Stored

_APART = timedelta(seconds=60)
"""More than clocks of two hosts differ, and than a leader stays active without a quorum."""
_CLOSE = timedelta(seconds=5)
"""Largest difference of the servers' clocks at which the order of two leaders is certain."""

_LOOKED_AT = 3
"""Most older snapshots that are checked for a later state; the newest suffice."""


@dataclass(frozen=True, slots=True)
class Span:
    """Start and end of an action."""

    began: Instant
    ended: Instant
    started_at: datetime | None
    """By the wall clock of its host; `None` if unknown, taken as long ago."""
    finished_at: datetime | None

    def precedes(self, other: Span, apart: timedelta = timedelta(0)) -> bool:
        """Return whether this span certainly ended before the other began."""
        seconds = apart.total_seconds()
        if self.began.clock and self.began.clock == other.began.clock:
            return self.ended.seconds + seconds <= other.began.seconds
        if self.finished_at is None or other.started_at is None:
            return True
        gap = other.started_at.timestamp() - self.finished_at.timestamp()
        return gap >= max(apart, _APART).total_seconds()


@dataclass(frozen=True, slots=True)
class Point:
    """One state in a cluster's history: a snapshot, or the state after a restore."""

    name: str
    cluster_id: str
    index: int
    size: int
    span: Span
    term: int | None = None
    node: str = ""
    leading_since: datetime | None = None
    history: str = ""
    counts: MountCounts | None = None
    """Keys by mount, if known."""

    @classmethod
    def of(cls, manifest: Manifest) -> Point:
        """Return the point in history that a manifest describes."""
        started_at = moment(manifest.taken_at)
        return cls(
            name=manifest.snapshot,
            cluster_id=manifest.cluster_id,
            index=manifest.index,
            size=manifest.size,
            span=Span(
                Instant(manifest.clock, manifest.began),
                Instant(manifest.clock, manifest.ended),
                started_at,
                _later(started_at, manifest.duration),
            ),
            term=manifest.term,
            node=manifest.node,
            leading_since=moment(manifest.leading_since),
            history=manifest.history,
            counts=MountCounts.from_text(manifest.counts),
        )

    @classmethod
    def after(cls, restored: Restored) -> Point:
        """Return the point after a restore: the index continues, the term may start again."""
        at, now = moment(restored.at), Instant(restored.clock, restored.uptime)
        span = Span(now, now, at, at)
        return cls(restored.snapshot, restored.cluster_id, restored.index, restored.size, span)


@dataclass(frozen=True, slots=True)
class Losses:
    """Largest acceptable losses between two snapshots, as fractions; 1 is everything."""

    size: float = 1.0
    """Fraction of the snapshot's size."""
    keys: float = 1.0
    """Fraction of the keys of each mount."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Result of the guard for a new snapshot."""

    alarm: str = ""
    """Why retention is suspended until an operator acknowledges it; empty: it is not."""
    unsettled: str = ""
    """Why nothing is pruned in this run."""
    restored: bool = False
    """Whether only the restore explains the snapshot."""

    @property
    def is_fine(self) -> bool:
        return not (self.alarm or self.unsettled)


def suspects(listed: Sequence[Stored], anchor: Point) -> list[Stored]:
    """Return snapshots that may have a later state than the `anchor`, although dated older.

    Also the one after the newest of them, with which the change began.
    """
    told = [one for one in listed if one.index is None or one.index > anchor.index]
    followers = listed[: listed.index(told[0])][-1:] if told else ()
    return [*followers, *told[:_LOOKED_AT]]


def judge(
    others: Sequence[Point], now: Point, losses: Losses, restored: Restored | None = None
) -> Judgement:
    """Compare a new snapshot with the earlier ones of its history.

    Arguments:
        others: The newest that was certainly taken before it, those newer than that one, and
            those that may have a later state; in any order.
        now: The new snapshot.
        losses: Acceptable losses.
        restored: The last restore, if its note exists; the snapshot may continue from the restored
            state or from the one before.
    """
    found = _judge(others, now, losses)
    if restored is None or found.is_fine:
        return found
    mark = Point.after(restored)
    if now.span.precedes(mark.span):
        return found
    since = [one for one in others if mark.span.precedes(one.span)]
    explained = _judge(since, now, losses)
    if explained.is_fine:
        explained = Judgement(_against(mark, now, losses), restored=True)
    return explained


def _judge(others: Sequence[Point], now: Point, losses: Losses) -> Judgement:
    unsettled = ""
    for one in others:
        if not one.span.precedes(now.span):
            alarm = _other_cluster(one, now) or _other_history(one, now)
            unsettled = unsettled or _contradiction(one, now)
        elif _may_be_outdated(one, now, others):
            alarm, unsettled = _other_cluster(one, now), _explain_deposed(one, now)
        else:
            alarm = _against(one, now, losses)
        if alarm:
            return Judgement(alarm)
    return Judgement(unsettled=unsettled)


def _against(before: Point, now: Point, losses: Losses) -> str:
    """Return what contradicts that `now` is a later state of the same cluster."""
    if reason := _other_cluster(before, now):
        return reason
    if now.index < before.index:
        return f"the Raft index went back from {before.index} to {now.index}"
    if reason := _other_history(before, now):
        return reason
    if now.size < before.size * (1 - losses.size):
        return f"the snapshot shrank from {before.size} to {now.size} bytes"
    if before.counts is None or now.counts is None:
        return ""
    return explain_loss(before.counts, now.counts, losses.keys)


def _other_cluster(one: Point, now: Point) -> str:
    if one.cluster_id and now.cluster_id and one.cluster_id != now.cluster_id:
        return f"the cluster is another: {now.cluster_id}, before it was {one.cluster_id}"
    return ""


def _other_history(one: Point, other: Point) -> str:
    """Return why two states cannot belong to one history; empty if they can.

    In one history a higher index never has a lower term, and an index has only one term.
    """
    lower, higher = sorted((one, other), key=lambda point: (point.index, -(point.term or 0)))
    if lower.term is None or higher.term is None:
        return ""
    if higher.term < lower.term or (lower.index == higher.index and lower.term != higher.term):
        return (
            f"the Raft term went back from {lower.term} (index {lower.index})"
            f" to {higher.term} (index {higher.index})"
        )
    return ""


def _may_be_outdated(before: Point, now: Point, others: Sequence[Point]) -> bool:
    """Return whether `now` may come from a deposed leader that does not know it yet.

    Such a leader has a lower term and became leader earlier. It steps down within seconds, so a
    snapshot from it a minute after another leader's snapshot is not explained.
    """
    if now.term is None or before.term is None:
        return False
    if now.index >= before.index or now.term >= before.term or not _led_earlier(now, before):
        return False
    return not any(
        (one.node, one.leading_since) == (now.node, now.leading_since)
        and before.span.precedes(one.span)
        and one.span.precedes(now.span, _APART)
        for one in others
    )


def _led_earlier(one: Point, other: Point) -> bool:
    if one.leading_since is None or other.leading_since is None:
        return True  # unknown
    close = timedelta(0) if one.node == other.node else _CLOSE
    return one.leading_since < other.leading_since + close


def _explain_deposed(before: Point, now: Point) -> str:
    return (
        f"nothing is pruned this time: {now.node} had index {now.index} of term {now.term},"
        f" older than {before.name}; it may not have known that another node leads"
    )


def _contradiction(one: Point, now: Point) -> str:
    """Return how clocks and Raft index contradict each other; empty if they do not."""
    if now.index >= one.index or _starts(now) < _starts(one):
        return ""
    return (
        f"nothing is pruned this time: the Raft index is {now.index}, and {one.name}, taken at"
        f" about the same time, has {one.index}"
    )


def _starts(point: Point) -> tuple[float, float]:
    started_at = point.span.started_at
    return (0.0 if started_at is None else started_at.timestamp(), point.span.began.seconds)


def _later(then: datetime | None, seconds: float) -> datetime | None:
    try:
        return None if then is None else then + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None
