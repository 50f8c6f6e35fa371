"""How things stand: what was, what is and what comes, of every cluster and storage.

One immutable value. The daemon's loops publish it; metrics, page, JSON, notifications and the
command `status` are renderings of it, so that no two of them can disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from raft_snapshot_agent.core.history.scrub_note import ScrubNote
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.snapshot import Snapshot
from raft_snapshot_agent.core.state.holding import (
    CheckState,
    Verdict,
    overall,
)
from raft_snapshot_agent.core.state.report import Outcome, Report
from raft_snapshot_agent.core.state.run_durations import RunDurations
from raft_snapshot_agent.core.state.storage_status import (
    OngoingFailure,
    StorageStatus,
    still_failing,
)

__all__ = [
    "Activity",
    "AgentStatus",
    "ClusterStatus",
    "DrillStatus",
    "LeaseStatus",
    "OngoingFailure",
    "Role",
    "RunSummary",
    "StorageStatus",
]

MEASURED = frozenset({"activity", "lease", "token_expires_at", "heartbeat", "stuck", "spool_free"})
"""What of a cluster's status changes without anybody's publishing it."""
RUNS_KEPT = 200
"""As many of the last runs are remembered, for the timeline."""


class Role(StrEnum):
    """Whether this agent takes the snapshots of a cluster."""

    STARTING = "starting"
    """It has not tried yet."""
    UNKNOWN = "unknown"
    """No daemon says so: only the storages were looked at."""
    WORKS = "works"
    STANDS_BY = "stands by"
    """Another agent works: the node here does not lead, or another holds the lease."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run that ended, as the timeline shows it."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    outcome: Outcome
    node: str = ""
    snapshot: Snapshot | None = None
    failed: tuple[str, ...] = ()
    """Names of the storages that did not get it."""
    error: str = ""
    """Why there is no snapshot, or why it is not everywhere: one line."""
    exit_code: int = 0
    """What a command that did this would exit with."""

    @classmethod
    def of(cls, report: Report) -> RunSummary:
        failed = [one for one in report.deliveries if one.error is not None]
        why = [str(report.error)] if report.error else [f"{d.storage}: {d.error}" for d in failed]
        return cls(
            report.run_id,
            report.started_at,
            report.finished_at,
            report.outcome,
            report.node,
            report.snapshot,
            tuple(one.storage for one in failed),
            "; ".join(why),
            report.exit_code,
        )


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """Who works, where agents share a lease."""

    location: str
    holder: str = ""
    """Empty: nobody, as far as this agent has seen."""
    held: bool = False
    """Whether it is this agent."""
    trouble: str = ""
    """Why the last look failed."""


@dataclass(frozen=True, slots=True)
class Activity:
    """A run that is under way."""

    run_id: str
    """Empty: no server is known yet to take it from, and there may be none to be taken."""
    started_at: datetime
    received: int = 0
    """Bytes that came from the server so far."""


@dataclass(frozen=True, slots=True)
class DrillStatus:
    """What came of the last drill, whichever agent held it."""

    snapshot: str
    passed: bool
    at: datetime
    seconds: float = 0.0
    reason: str = ""
    """Why it failed."""
    server: str = ""
    """Product and version of the throw-away server; empty: none was started."""
    proved: str = ""
    """What was found in it."""

    @classmethod
    def of(cls, note: DrillNote, at: datetime) -> DrillStatus:
        """Return what a note says of a drill that began at a time."""
        return cls(
            note.snapshot, note.passed, at, note.seconds, note.reason, note.server, note.proved
        )


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """How one cluster's snapshots stand."""

    name: str
    """Empty where there is one only."""
    storages: tuple[StorageStatus, ...] = ()
    role: Role = Role.STARTING
    node: str = ""
    """Address of the server that the last snapshot came from."""
    disabled: str = ""
    """Why nothing is done for this cluster: what is wrong in its configuration."""
    activity: Activity | None = None
    next_due: datetime | None = None
    last_attempt: datetime | None = None
    runs: tuple[RunSummary, ...] = ()
    """The last ones, oldest first; those left to another agent are not among them."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Runs since the agent began, by `Outcome`."""
    failing: OngoingFailure | None = None
    """Why there is no snapshot at all."""
    verification_failures: int = 0
    lease: LeaseStatus | None = None
    token_expires_at: datetime | None = None
    """Nothing: never, or not known."""
    login_failing: str = ""
    drill: DrillStatus | None = None
    heartbeat: datetime | None = None
    """When its loop last went on."""
    stuck: bool = False
    """Whether a run has made no progress for longer than all time-outs together."""
    phases: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By phase and storage, how many seconds it took last; what is for all has no storage."""
    durations: RunDurations = field(default_factory=RunDurations)
    """Of the runs since the agent began that were not left to another agent."""
    spool_free: int | None = None
    """Free bytes in the file system of the spool folder, where that is known."""

    def drilled(self, note: DrillNote) -> ClusterStatus:
        """Return it after a drill; it stays as it is where a later one is known."""
        at = note.began
        if at is None or (self.drill is not None and self.drill.at >= at):
            return self
        return replace(self, drill=DrillStatus.of(note, at))

    def scrubbed(self, storage: str, note: ScrubNote) -> ClusterStatus:
        """Return it after snapshots of a storage were read back.

        Arguments:
            storage: Name of the storage.
            note: What is known of all readings there.
        """
        storages = tuple(
            one.scrubbed(note) if one.name == storage else one for one in self.storages
        )
        return replace(self, storages=storages)

    def recalled(self) -> ClusterStatus:
        """Return it with the last drill that is noted in its storages, where that is to be told.

        Of one that failed only the agent tells that works, or each would raise the same alarm; who
        has told of one keeps that up to date.
        """
        notes = [one.holding.survey.drill for one in self.storages if one.holding is not None]
        dated = [(one.began, one) for one in notes if one is not None and one.began is not None]
        if not dated:
            return self
        newest = max(dated, key=lambda pair: pair[0])[1]
        works = self.role in {Role.WORKS, Role.UNKNOWN}
        begins = self.role is Role.STARTING and newest.passed
        return self.drilled(newest) if works or begins or self.drill is not None else self

    def judge(self, now: datetime) -> tuple[Verdict, ...]:
        """Return what each storage comes to."""
        return tuple(one.judge(now, self.name) for one in self.storages)

    def state(self, now: datetime) -> CheckState:
        """Return what the cluster comes to: the state that `check` tells of its storages."""
        return CheckState.CRITICAL if self.disabled else overall(self.judge(now))

    def ended(self, report: Report) -> ClusterStatus:
        """Return it after a run that ended."""
        attempts = dict(Counter(self.attempts) + Counter({report.outcome.value: 1}))
        told = replace(self, activity=None, attempts=attempts, last_attempt=report.started_at)
        if report.outcome is Outcome.SKIPPED:
            return replace(told, role=Role.STANDS_BY, failing=None)
        if report.outcome is Outcome.STOPPED:
            return told
        results = {one.storage: one for one in report.deliveries}
        storages = tuple(
            one.delivered(results[one.name], report.finished_at, report.started_at)
            if one.name in results
            else one
            for one in self.storages
        )
        broken = report.error is not None and report.error.exit_code == _BROKEN
        return replace(
            told,
            role=Role.WORKS,
            node=report.node or self.node,
            storages=storages,
            runs=(*self.runs, RunSummary.of(report))[-RUNS_KEPT:],
            failing=_find_failure(self.failing, report),
            phases={**self.phases, **report.durations},
            durations=self.durations.after(report.seconds),
            verification_failures=self.verification_failures + broken,
        )


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """How all that one agent does stands."""

    version: str
    started_at: datetime
    at: datetime
    """When this was so."""
    clusters: tuple[ClusterStatus, ...] = ()
    config_source: str = ""
    config_loaded_at: datetime | None = None
    config_refused: str = ""
    """Why the newest configuration is not in force; empty: it is."""
    reloads: Mapping[str, int] = field(default_factory=dict)
    """Since the agent began, by outcome: `ok`, `refused`."""
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Since the agent began, by notifier and outcome: `ok`, `failed`."""

    def state(self) -> CheckState:
        """Return the worst state of all clusters: what `check` exits with."""
        verdicts = [verdict for one in self.clusters for verdict in one.judge(self.at)]
        disabled = any(one.disabled for one in self.clusters)
        return CheckState.CRITICAL if disabled else overall(verdicts)


_BROKEN = 4
"""Exit code of a snapshot that is not whole."""


def _find_failure(before: OngoingFailure | None, report: Report) -> OngoingFailure | None:
    if report.error is None:
        return None
    return still_failing(before, str(report.error), report.started_at)
