"""The status as JSON, for the API and for `status --format json`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from raft_snapshot_agent.core.alarms.problems import (
    EXIT_CODES,
    Problem,
    list_cluster_problems,
    list_problems,
    severity_of,
    state_of,
    summarise,
)
from raft_snapshot_agent.core.snapshots.scrub_note import ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Snapshot
from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.status import (
    AgentStatus,
    ClusterStatus,
    LeaseStatus,
    RunSummary,
)
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus


def document(status: AgentStatus) -> dict[str, Any]:
    """Return the whole status; times are RFC 3339 in UTC, durations seconds, sizes bytes."""
    problems = list_problems(status)
    return {
        "summary": summarise(status, problems),
        "problems": [_problem(one) for one in problems],
        "status": state_of(problems, status.clusters).name,
        "exit_code": EXIT_CODES[severity_of(problems)],
        "at": _time(status.at),
        "version": status.version,
        "started_at": _time(status.started_at),
        "config": {
            "source": status.config_source,
            "loaded_at": _time(status.config_loaded_at),
            "refused": status.config_refused or None,
            "reloads": dict(status.reloads),
        },
        "notifications": [
            {"notifier": notifier, "outcome": outcome, "count": count}
            for (notifier, outcome), count in sorted(status.notifications.items())
        ],
        "clusters": [_cluster(one, status.at) for one in status.clusters],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "kind": problem.kind.value,
        "severity": problem.severity.name.lower(),
        "cluster": problem.cluster or None,
        "storage": problem.storage or None,
        "message": problem.text,
        "advice": problem.advice,
        "since": _time(problem.since),
    }


def _cluster(cluster: ClusterStatus, now: datetime) -> dict[str, Any]:
    running = cluster.activity
    problems = tuple(list_cluster_problems(cluster, now))
    return {
        "cluster": cluster.name or None,
        "status": state_of(problems, (cluster,)).name,
        "role": cluster.role.value,
        "disabled": cluster.disabled or None,
        "node": cluster.node or None,
        "running": running
        and {"since": _time(running.started_at), "received_bytes": running.received},
        "next_due": _time(cluster.next_due),
        "last_attempt": _time(cluster.last_attempt),
        "failing": _failure(cluster.failing),
        "attempts": {one.value: cluster.attempts.get(one.value, 0) for one in Outcome},
        "verification_failures": cluster.verification_failures,
        "lease": _lease(cluster.lease),
        "token_expires_at": _time(cluster.token_expires_at),
        "login_failing": cluster.login_failing or None,
        "drill": _drill(cluster.drill),
        "heartbeat": _time(cluster.heartbeat),
        "stuck": cluster.stuck,
        "storages": [_storage(one, cluster.name, now) for one in cluster.storages],
        "runs": [_run(one) for one in cluster.runs],
    }


def _storage(storage: StorageStatus, cluster: str, now: datetime) -> dict[str, Any]:
    verdict = storage.judge(now, cluster)
    newest = verdict.newest
    return {
        "storage": storage.name,
        "type": storage.kind,
        "required": storage.required,
        "location": storage.location,
        "status": verdict.state.name,
        "message": verdict.message,
        "schedule": storage.schedule,
        "interval_seconds": _seconds(storage.interval),
        "next_due": _time(storage.next_due),
        "newest": newest and newest.name,
        "taken_at": _time(storage.last_success),
        "age_seconds": _seconds(verdict.age),
        "limit_seconds": _seconds(verdict.limit),
        "index": storage.last_index,
        "stored": storage.stored,
        "stored_bytes": storage.stored_bytes,
        "oldest": _time(storage.oldest),
        "listed_at": _time(storage.listed_at),
        "uploads": _counts(storage.uploads),
        "pruned": storage.pruned,
        "failing": _failure(storage.failing),
        "alarm": storage.alarm or None,
        "scrub": _scrub(storage.scrub_note),
        "warnings": list(storage.warnings),
    }


def _run(run: RunSummary) -> dict[str, Any]:
    return {
        "run": run.run_id,
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "outcome": run.outcome.value,
        "node": run.node or None,
        "snapshot": _snapshot(run.snapshot),
        "failed": list(run.failed),
        "error": run.error or None,
    }


def _snapshot(snapshot: Snapshot | None) -> dict[str, Any] | None:
    if snapshot is None:
        return None
    return {
        "index": snapshot.meta.index,
        "term": snapshot.meta.term,
        "bytes": snapshot.size,
        "sha256": snapshot.sha256,
    }


def _lease(lease: LeaseStatus | None) -> dict[str, Any] | None:
    if lease is None:
        return None
    return {
        "location": lease.location,
        "holder": lease.holder or None,
        "held": lease.held,
        "trouble": lease.trouble or None,
    }


def _drill(drill: DrillStatus | None) -> dict[str, Any] | None:
    if drill is None:
        return None
    return {
        "snapshot": drill.snapshot,
        "passed": drill.passed,
        "at": _time(drill.at),
        "seconds": drill.seconds,
        "reason": drill.reason or None,
        "server": drill.server or None,
        "proved": drill.proved or None,
    }


def _scrub(note: ScrubNote | None) -> dict[str, Any] | None:
    if note is None or note.looked_at is None:
        return None
    return {
        "at": _time(note.looked_at),
        "rotten": len(note.rotten),
        "vanished": len(note.vanished),
    }


def _failure(failure: OngoingFailure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"message": failure.text, "since": _time(failure.since), "times": failure.times}


def _counts(uploads: Mapping[str, int]) -> dict[str, int]:
    return {outcome: uploads.get(outcome, 0) for outcome in ("ok", "failed")}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else int(duration.total_seconds())
