"""The metrics of each storage."""

from __future__ import annotations

from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.metrics.metric import (
    NAN,
    JudgedStorage,
    Kind,
    Metric,
    counts,
    of_storage,
    stamp,
)


def _last_success(view: JudgedStorage) -> float:
    found = view.storage.last_success
    return stamp(found, NAN if view.storage.listed_at is None else 0)


def _overdue(view: JudgedStorage) -> float:
    holding = view.storage.holding
    due = None if holding is None else holding.deadline
    return NAN if due is None else due.late.timestamp()


def _mask_unlisted(storage: StorageStatus, value: float) -> float:
    return NAN if storage.listed_at is None else value


def _size(view: JudgedStorage) -> float:
    holding = view.storage.holding
    return NAN if holding is None or holding.newest is None else holding.newest.size


def _broken(view: JudgedStorage) -> float:
    holding = view.storage.holding
    return NAN if holding is None or holding.census is None else len(holding.census.broken)


def _read_back_at(view: JudgedStorage) -> float:
    note = view.storage.scrub_note
    return NAN if note is None else stamp(note.looked_at, 0)


def _rotten(view: JudgedStorage) -> float:
    note = view.storage.scrub_note
    return NAN if note is None else len(note.rotten)


def _vanished(view: JudgedStorage) -> float:
    note = view.storage.scrub_note
    return NAN if note is None else len(note.vanished)


METRICS: tuple[Metric, ...] = (
    of_storage(
        "storage_info",
        Kind.INFO,
        "The storage's type, and whether a failure there is a failure of the run.",
        lambda view: {(view.storage.kind, str(view.storage.required).lower()): 1},
        "type",
        "required",
    ),
    of_storage(
        "storage_state",
        Kind.GAUGE,
        "What `check` says of the storage: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        lambda view: view.verdict.state,
    ),
    of_storage(
        "last_success_timestamp_seconds",
        Kind.GAUGE,
        "When the newest whole snapshot of the storage was taken; 0: it holds none.",
        _last_success,
    ),
    of_storage(
        "overdue_timestamp_seconds",
        Kind.GAUGE,
        "From when on the newest snapshot is too old by the storage's schedule.",
        _overdue,
    ),
    of_storage(
        "oldest_timestamp_seconds",
        Kind.GAUGE,
        "When the oldest snapshot of the storage was taken.",
        lambda view: stamp(view.storage.oldest),
    ),
    of_storage(
        "next_timestamp_seconds",
        Kind.GAUGE,
        "When the next snapshot for the storage is due.",
        lambda view: stamp(view.storage.next_due),
    ),
    of_storage(
        "schedule_interval_seconds",
        Kind.GAUGE,
        "Between the next two snapshots of the storage's schedule.",
        lambda view: view.storage.interval.total_seconds() if view.storage.interval else NAN,
    ),
    of_storage(
        "size_bytes",
        Kind.GAUGE,
        "Size of the newest snapshot of the storage.",
        _size,
    ),
    of_storage(
        "index",
        Kind.GAUGE,
        "Raft index of the newest snapshot of the storage.",
        lambda view: NAN if view.storage.last_index is None else view.storage.last_index,
    ),
    of_storage(
        "stored",
        Kind.GAUGE,
        "How many snapshots the storage holds.",
        lambda view: _mask_unlisted(view.storage, view.storage.stored),
    ),
    of_storage(
        "stored_bytes",
        Kind.GAUGE,
        "How much the snapshots of the storage take.",
        lambda view: _mask_unlisted(view.storage, view.storage.stored_bytes),
    ),
    of_storage(
        "stored_broken",
        Kind.GAUGE,
        "How many of the snapshots of the storage are known to be broken.",
        _broken,
    ),
    of_storage(
        "listed_timestamp_seconds",
        Kind.GAUGE,
        "When the storage was last listed; 0: never since the agent started.",
        lambda view: stamp(view.storage.listed_at, 0),
    ),
    of_storage(
        "scrub_last_timestamp_seconds",
        Kind.GAUGE,
        "When snapshots of the storage were last read back; 0: never.",
        _read_back_at,
    ),
    of_storage(
        "stored_rotten",
        Kind.GAUGE,
        "Snapshots of the storage that were not whole any more when they were read back.",
        _rotten,
    ),
    of_storage(
        "stored_vanished",
        Kind.GAUGE,
        "Snapshots of the storage that are gone and were not pruned: their manifests lie there.",
        _vanished,
    ),
    of_storage(
        "uploads_total",
        Kind.COUNTER,
        "Snapshots sent to the storage since the agent started, by how that ended.",
        lambda view: counts(view.storage.uploads, "ok", "failed"),
        "outcome",
    ),
    of_storage(
        "storage_consecutive_failures",
        Kind.GAUGE,
        "Snapshots in a row, up to the last one, that the storage did not get.",
        lambda view: 0 if view.storage.failing is None else view.storage.failing.times,
    ),
    of_storage(
        "pruned_total",
        Kind.COUNTER,
        "Snapshots that retention deleted from the storage since the agent started.",
        lambda view: view.storage.pruned,
    ),
    of_storage(
        "retention_suspended",
        Kind.GAUGE,
        "Whether an alarm keeps the storage from being pruned until an operator acknowledges it.",
        lambda view: bool(view.storage.alarm),
    ),
)
