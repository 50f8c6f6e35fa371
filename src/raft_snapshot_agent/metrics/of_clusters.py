"""The metrics of each cluster."""

from __future__ import annotations

from math import isinf

from raft_snapshot_agent.core.state.report import SHARED_PHASES, STORAGE_PHASES, Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.run_durations import BOUNDS
from raft_snapshot_agent.core.state.status import ClusterStatus
from raft_snapshot_agent.metrics.metric import (
    NAN,
    JudgedCluster,
    Kind,
    Metric,
    Value,
    counts,
    of_cluster,
    stamp,
)


def _last_seconds(view: JudgedCluster) -> float:
    runs = view.cluster.runs
    return (runs[-1].finished_at - runs[-1].started_at).total_seconds() if runs else NAN


def _last_exit_code(view: JudgedCluster) -> float:
    cluster = view.cluster
    stands_by = cluster.role is Role.STANDS_BY  # its last run may be of weeks ago
    return cluster.runs[-1].exit_code if cluster.runs and not stands_by else NAN


def _phases(view: JudgedCluster) -> Value:
    took, names = view.cluster.phases, [one.name for one in view.cluster.storages]
    pairs = [("", phase) for phase in SHARED_PHASES]
    pairs += [(name, phase) for name in names for phase in STORAGE_PHASES]
    return {(storage, phase): took.get((phase, storage), NAN) for storage, phase in pairs}


def _works(view: JudgedCluster) -> float:
    role = view.cluster.role
    return NAN if role is Role.STARTING else role is Role.WORKS


def _lease(view: JudgedCluster, *, failing: bool) -> float:
    lease = view.cluster.lease
    if lease is None:
        return NAN
    return bool(lease.trouble) if failing else lease.held


_DURATION = "How long runs took that were not left to another agent, since the agent started."

_BOUNDS = [("+Inf" if isinf(one) else repr(one),) for one in BOUNDS]


def _buckets(view: JudgedCluster) -> Value:
    return dict(zip(_BOUNDS, view.cluster.durations.counts, strict=True))


def _drill_passed(cluster: ClusterStatus) -> float:
    return NAN if cluster.drill is None else cluster.drill.passed


def _drill_failing(cluster: ClusterStatus) -> float:
    return NAN if cluster.drills is None else cluster.drills.failing is not None


METRICS: tuple[Metric, ...] = (
    of_cluster(
        "state",
        Kind.GAUGE,
        "What `check` says of the cluster: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        lambda view: view.state,
    ),
    of_cluster(
        "disabled",
        Kind.GAUGE,
        "Whether nothing is done for the cluster, because its configuration is invalid.",
        lambda view: bool(view.cluster.disabled),
    ),
    of_cluster(
        "leader",
        Kind.GAUGE,
        "Whether this agent takes the snapshots of the cluster, also while they fail;"
        " NaN: it has not tried yet.",
        _works,
    ),
    of_cluster(
        "attempts_total",
        Kind.COUNTER,
        "Runs since the agent started, by how they ended.",
        lambda view: counts(view.cluster.attempts, *Outcome),
        "outcome",
    ),
    of_cluster(
        "consecutive_failures",
        Kind.GAUGE,
        "Runs in a row, up to the last one, that took no snapshot at all.",
        lambda view: 0 if view.cluster.failing is None else view.cluster.failing.times,
    ),
    of_cluster(
        "last_attempt_timestamp_seconds",
        Kind.GAUGE,
        "When the last run started; 0: never since the agent started.",
        lambda view: stamp(view.cluster.last_attempt, 0),
    ),
    of_cluster(
        "last_duration_seconds",
        Kind.GAUGE,
        "How long the last run took that was not left to another agent.",
        _last_seconds,
    ),
    of_cluster("duration_seconds_bucket", Kind.HISTOGRAM, _DURATION, _buckets, "le"),
    of_cluster(
        "duration_seconds_sum",
        Kind.HISTOGRAM,
        _DURATION,
        lambda view: view.cluster.durations.seconds,
    ),
    of_cluster(
        "duration_seconds_count",
        Kind.HISTOGRAM,
        _DURATION,
        lambda view: view.cluster.durations.count,
    ),
    of_cluster(
        "last_exit_code",
        Kind.GAUGE,
        "What the last run would exit with: 0 done, 2 remote, 3 partial, 4 broken, 6 alarm;"
        " NaN: none, or another agent takes the snapshots.",
        _last_exit_code,
    ),
    of_cluster(
        "phase_duration_seconds",
        Kind.GAUGE,
        "How long each phase of the last run took; `storage` is empty where it is for all.",
        _phases,
        "storage",
        "phase",
    ),
    of_cluster(
        "in_progress",
        Kind.GAUGE,
        "Whether a run is under way.",
        lambda view: view.cluster.activity is not None,
        measured=True,
    ),
    of_cluster(
        "received_bytes",
        Kind.GAUGE,
        "Bytes of the snapshot under way that the server has sent so far, in the spool.",
        lambda view: 0 if view.cluster.activity is None else view.cluster.activity.received,
        measured=True,
    ),
    of_cluster(
        "spool_free_bytes",
        Kind.GAUGE,
        "Free bytes in the file system of the spool folder.",
        lambda view: NAN if view.cluster.spool_free is None else view.cluster.spool_free,
        measured=True,
    ),
    of_cluster(
        "verification_failures_total",
        Kind.COUNTER,
        "Snapshots since the agent started that were not whole, so they were stored nowhere.",
        lambda view: view.cluster.verification_failures,
    ),
    of_cluster(
        "heartbeat_timestamp_seconds",
        Kind.GAUGE,
        "When the loop of the cluster last went on.",
        lambda view: stamp(view.cluster.heartbeat),
        measured=True,
    ),
    of_cluster(
        "stuck",
        Kind.GAUGE,
        "Whether a run has made no progress for longer than its time-outs allow.",
        lambda view: view.cluster.stuck,
        measured=True,
    ),
    of_cluster(
        "token_expiry_timestamp_seconds",
        Kind.GAUGE,
        "When the token of the server expires; NaN: never, or not known.",
        lambda view: stamp(view.cluster.token_expires_at),
        measured=True,
    ),
    of_cluster(
        "login_failing",
        Kind.GAUGE,
        "Whether the server refused the last login, also while an older token still works.",
        lambda view: bool(view.cluster.login_failing),
    ),
    of_cluster(
        "lease_held",
        Kind.GAUGE,
        "Whether this agent holds the lease; NaN: there is none.",
        lambda view: _lease(view, failing=False),
        measured=True,
    ),
    of_cluster(
        "lease_failing",
        Kind.GAUGE,
        "Whether the last look at the lease failed; NaN: there is none.",
        lambda view: _lease(view, failing=True),
        measured=True,
    ),
    of_cluster(
        "drill_passed",
        Kind.GAUGE,
        "Whether the last drill passed, which the working agent tells; NaN: none is known.",
        lambda view: _drill_passed(view.cluster),
    ),
    of_cluster(
        "drill_last_timestamp_seconds",
        Kind.GAUGE,
        "When the last drill ran; 0: none is known.",
        lambda view: stamp(view.cluster.drill.at, 0) if view.cluster.drill else 0,
    ),
    of_cluster(
        "drill_duration_seconds",
        Kind.GAUGE,
        "How long the last drill took.",
        lambda view: NAN if view.cluster.drill is None else view.cluster.drill.seconds,
    ),
    of_cluster(
        "drill_failing",
        Kind.GAUGE,
        "Whether the last scheduled drill could not be run; NaN: this agent runs none.",
        lambda view: _drill_failing(view.cluster),
    ),
    of_cluster(
        "drill_overdue_timestamp_seconds",
        Kind.GAUGE,
        "When the next scheduled drill is overdue; NaN: unknown, or this agent runs none.",
        lambda view: stamp(view.cluster.drills.late if view.cluster.drills else None),
    ),
)
