"""The view of one storage on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.history.retention import Retention, plan
from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.holding import CheckState
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.web.page import words

NEWEST = 40
"""Maximum snapshots that are listed individually."""
BAR = 100
"""Length of the bar at the maximum permitted age."""
_TONES = {
    CheckState.OK: "good",
    CheckState.WARNING: "warn",
    CheckState.UNKNOWN: "warn",
    CheckState.CRITICAL: "bad",
}


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One stored snapshot."""

    name: str
    taken: str
    size: str
    index: str
    marks: str
    kept: str
    """Why it is not deleted."""


@dataclass(frozen=True, slots=True)
class StorageCard:
    """One storage."""

    name: str
    kind: str
    location: str
    tone: str
    message: str
    age: str
    limit: str
    bar: int
    """The age in percent of the maximum permitted, at most 100."""
    count: str
    size: str
    oldest: str
    schedule: str
    listed: str
    scrubbed: str
    """Time and result of the last scrub; empty: none."""
    error: str
    since: str
    warnings: tuple[str, ...]
    required: bool
    snapshots: tuple[SnapshotRow, ...]


def view_storage(
    storage: StorageStatus, now: datetime, cluster: str, *, idle: bool = False
) -> StorageCard:
    """Return the view of a storage.

    Arguments:
        storage: Its status.
        now: The present time.
        cluster: The name of its cluster.
        idle: Whether it gets no snapshots while another agent takes them.
    """
    verdict = storage.judge(now, cluster)
    failing = storage.failing
    share = 0.0 if not (verdict.age and verdict.limit) else verdict.age / verdict.limit
    unseen = storage.holding is None or not (storage.holding.census or storage.holding.error)
    tone = "warn" if failing and verdict.state is CheckState.OK else _TONES[verdict.state]
    times = "" if failing is None or failing.times == 1 else f", {failing.times} times"
    return StorageCard(
        storage.name,
        storage.kind,
        storage.location,
        "idle" if unseen or (idle and verdict.state is CheckState.CRITICAL) else tone,
        "not looked at yet" if unseen else verdict.message,
        "none" if verdict.age is None else format_age(verdict.age),
        "" if verdict.limit is None else format_age(verdict.limit),
        min(round(share * BAR), BAR),
        f"{storage.stored:,}",
        format_size(storage.stored_bytes),
        words.ago(storage.oldest, now),
        storage.schedule,
        words.ago(storage.listed_at, now),
        _tell_scrub(storage, now),
        "" if failing is None else failing.text,
        "" if failing is None else f"for {format_age(now - failing.since)}{times}",
        storage.warnings,
        storage.required,
        _list_newest(storage, now),
    )


def _tell_scrub(storage: StorageStatus, now: datetime) -> str:
    note = storage.scrub_note
    if note is None or note.looked_at is None:
        return ""
    read = words.count(len(note.readings), "snapshot")
    return "; ".join([f"{read} read, {words.ago(note.looked_at, now)}", *note.doubts])


def _list_newest(storage: StorageStatus, now: datetime) -> tuple[SnapshotRow, ...]:
    policy = storage.retention or Retention()
    planned = plan(storage.snapshots, policy, now, storage.zone, storage.alarm)
    return tuple(
        _view_snapshot(one, _tell_why(storage, planned.keep.get(one, ())))
        for one in storage.snapshots[:NEWEST]
    )


def _tell_why(storage: StorageStatus, reasons: Sequence[str]) -> str:
    if storage.holding is not None and not storage.holding.prunes:
        return "nothing is deleted here"
    if storage.retention is None or storage.retention.keeps_all:
        return "no rule says what goes"
    return ", ".join(reasons) or "goes with the next prune"


def _view_snapshot(one: Stored, kept: str) -> SnapshotRow:
    marks = {
        "proved whole": one.proved,
        "broken": one.broken,
        "held": one.held,
        "drilled": one.drilled,
        "not what its manifest says": one.mismatched,
    }
    return SnapshotRow(
        one.name,
        words.clock(one.taken_at) if one.dated else "not known",
        format_size(one.size),
        "" if one.index is None else f"{one.index:,}",
        ", ".join(mark for mark, is_so in marks.items() if is_so) or "unverified",
        kept,
    )
