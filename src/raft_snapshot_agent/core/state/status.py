"""The status of every cluster and storage: past, present and next runs.

One immutable value. The daemon's loops publish it; metrics, page, JSON, notifications and the
command `status` are renderings of it, so that no two of them can disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import is_

from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.scrub_note import ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Snapshot
from raft_snapshot_agent.core.state.drill_status import DrillSchedule, DrillStatus
from raft_snapshot_agent.core.state.freshness import is_ahead
from raft_snapshot_agent.core.state.holding import CheckState
from raft_snapshot_agent.core.state.report import Outcome, Report
from raft_snapshot_agent.core.state.role import Role, find_role
from raft_snapshot_agent.core.state.run_durations import RunDurations
from raft_snapshot_agent.core.state.storage_status import (
    OngoingFailure,
    StorageStatus,
    still_failing,
)
from raft_snapshot_agent.core.state.verdict import Verdict, overall
from raft_snapshot_agent.errors import LeaseFree, VerificationError

MEASURED = frozenset({"activity", "lease", "token_expires_at", "heartbeat", "stuck", "spool_free"})
"""Fields of a cluster's status that are measured whenever it is read."""
RUNS_KEPT = 200
"""Number of last runs that are kept for the timeline."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One finished run, for the timeline."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    outcome: Outcome
    node: str = ""
    snapshot: Snapshot | None = None
    failed: tuple[str, ...] = ()
    """Names of the storages that did not get the snapshot."""
    error: str = ""
    """Why there is no snapshot, or why some storages did not get it, in one line."""
    exit_code: int = 0
    """Exit code of a command with this result."""

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
    """State of the lease, if agents share one."""

    location: str
    holder: str = ""
    """ID of the holder, as last read; empty if the lease is free."""
    held: bool = False
    """Whether this agent holds it."""
    trouble: str = ""
    """Why the last read failed."""


@dataclass(frozen=True, slots=True)
class Activity:
    """A run in progress."""

    run_id: str
    """Empty while the leader is being searched."""
    started_at: datetime
    received: int = 0
    """Bytes received from the server so far."""


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Status of one cluster."""

    name: str
    """Empty where there is one only."""
    storages: tuple[StorageStatus, ...] = ()
    role: Role = Role.STARTING
    node: str = ""
    """Address of the server that the last snapshot came from."""
    disabled: str = ""
    """Why this cluster is disabled: the error in its configuration."""
    activity: Activity | None = None
    next_due: datetime | None = None
    last_attempt: datetime | None = None
    runs: tuple[RunSummary, ...] = ()
    """The last runs, oldest first, without those skipped for another agent."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Runs since the start of the agent, by `Outcome`."""
    failing: OngoingFailure | None = None
    """Why there is no snapshot at all, by this agent or another."""
    verification_failures: int = 0
    lease: LeaseStatus | None = None
    token_expires_at: datetime | None = None
    """`None` without a token, or if it never expires."""
    login_failing: str = ""
    """Why a new login would fail; empty if it would not."""
    drill: DrillStatus | None = None
    """The last drill; `None` if there was none or it is unknown."""
    drills: DrillSchedule | None = None
    """Scheduled drills, if this agent runs them."""
    heartbeat: datetime | None = None
    """When its loop last made progress."""
    stuck: bool = False
    """Whether a run has made no progress for longer than its time-outs allow."""
    phases: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Last duration in seconds by phase and storage; common phases have an empty storage."""
    durations: RunDurations = field(default_factory=RunDurations)
    """Durations of the runs since the start of the agent, without skipped ones."""
    spool_free: int | None = None
    """Free bytes in the file system of the spool folder, if known."""
    shared: bool = False
    """Whether other agents may take its snapshots."""

    def drilled(self, note: DrillNote) -> ClusterStatus:
        """Return the status after a drill; unchanged if a later drill is known."""
        at = note.began
        if at is None or (self.drill is not None and self.drill.at >= at):
            return self
        return replace(self, drill=DrillStatus.of(note, at))

    @property
    def has_alarm(self) -> bool:
        """Whether retention of a storage is suspended until an operator acknowledges the alarm."""
        return any(one.alarm for one in self.storages)

    @property
    def lacks_drill(self) -> bool:
        """Whether the last drill failed, or none can be run; one that passes by hand ends that."""
        fails = self.drill is not None and not self.drill.passed
        return fails or (self.drills is not None and self.drills.failing is not None)

    def scrubbed(self, storage: str, note: ScrubNote) -> ClusterStatus:
        """Return the status after snapshots of a storage were read back.

        Arguments:
            storage: Name of the storage.
            note: Results of all readings there.
        """
        storages = tuple(
            one.scrubbed(note) if one.name == storage else one for one in self.storages
        )
        return replace(self, storages=storages)

    def as_of(self, now: datetime) -> ClusterStatus:
        """Return the status as it is judged at a time: what is dated in the future proves nothing.

        Otherwise a wall clock that was set back would make everything look new until it catches up.
        """
        storages = tuple(one.as_of(now) for one in self.storages)
        drill = None if self.drill is not None and is_ahead(self.drill.at, now) else self.drill
        if drill is self.drill and all(map(is_, storages, self.storages)):
            return self
        return replace(self, storages=storages, drill=drill)

    def recalled(self, now: datetime) -> ClusterStatus:
        """Return the status with the last drill noted in its storages, if it should be reported.

        A failed drill is reported only by the agent that takes the snapshots, so that there is only
        one alarm; an agent that has already reported one keeps it up to date.
        """
        notes = [one.holding.survey.drill for one in self.storages if one.holding is not None]
        dated = [(one.began, one) for one in notes if one is not None and one.began is not None]
        past = [pair for pair in dated if not is_ahead(pair[0], now)]
        if not past:
            return self
        newest = max(past, key=lambda pair: pair[0])[1]
        works = self.role in {Role.WORKS, Role.UNKNOWN}
        begins = self.role is Role.STARTING and newest.passed
        return self.drilled(newest) if works or begins or self.drill is not None else self

    def leaves_idle(self, storage: StorageStatus) -> bool:
        """Return whether a storage gets no snapshots, as another agent stores on its own host."""
        return self.role is Role.STANDS_BY and storage.is_private

    def judge(self, now: datetime) -> tuple[Verdict, ...]:
        """Return the result of the check of each storage."""
        return tuple(one.judge(now, self.name) for one in self.storages)

    def state(self, now: datetime) -> CheckState:
        """Return the state of the cluster, as in `check`: the worst of its storages."""
        return CheckState.CRITICAL if self.disabled else overall(self.judge(now))

    def served_by_another(self) -> ClusterStatus:
        """Return the status after another agent stored what this agent could not."""
        return replace(self.standing_by(), failing=None)

    def standing_by(self) -> ClusterStatus:
        """Return the status of an agent that leaves the snapshots to another.

        Folders of its own host get none now, so nothing would ever end their failures.
        """
        storages = tuple(
            replace(one, failing=None) if one.is_private else one for one in self.storages
        )
        return replace(self, role=Role.STANDS_BY, storages=storages)

    def ended(self, report: Report) -> ClusterStatus:
        """Return the status after a finished run."""
        attempts = dict(Counter(self.attempts) + Counter({report.outcome.value: 1}))
        told = replace(self, activity=None, attempts=attempts, last_attempt=report.started_at)
        if report.outcome is Outcome.SKIPPED:
            after = told if isinstance(report.error, LeaseFree) else told.standing_by()
            return replace(after, failing=self.failing if report.leaves_open else None)
        if report.outcome is Outcome.STOPPED:
            return told
        results = {one.storage: one for one in report.deliveries}
        storages = tuple(
            one.delivered(results[one.name], report.started_at) if one.name in results else one
            for one in self.storages
        )
        broken = isinstance(report.error, VerificationError)
        return replace(
            told,
            role=find_role(self.role, report),
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
    """Status of the agent and all its clusters."""

    version: str
    started_at: datetime
    at: datetime
    """Time of this status."""
    clusters: tuple[ClusterStatus, ...] = ()
    config_source: str = ""
    config_loaded_at: datetime | None = None
    config_refused: str = ""
    """Why the newest configuration was refused; empty if it is in force."""
    reloads: Mapping[str, int] = field(default_factory=dict)
    """Reloads since the start of the agent, by outcome: `ok`, `refused`."""
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Messages since the start of the agent, by notifier and outcome: `ok`, `failed`."""


def _find_failure(before: OngoingFailure | None, report: Report) -> OngoingFailure | None:
    if report.error is None:
        return None
    return still_failing(before, str(report.error), report.started_at)
