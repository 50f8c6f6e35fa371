"""How things stand: what was, what is and what comes, of every cluster and storage.

One immutable value. The daemon's loops publish it; metrics, page, JSON, notifications and the
command `status` are renderings of it, so that no two of them can disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from raft_snapshot_agent.core.holding import CheckState, Holding, Verdict, judge_holding, overall
from raft_snapshot_agent.core.report import Outcome, Report, StorageResult
from raft_snapshot_agent.core.snapshot import Snapshot, Stored

RUNS_KEPT = 200
"""As many of the last runs are remembered, for the timeline."""


class Role(StrEnum):
    """Whether this agent takes the snapshots of a cluster."""

    STARTING = "starting"
    """It has not tried yet."""
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
        )


@dataclass(frozen=True, slots=True)
class OngoingFailure:
    """What is wrong now, and since when."""

    text: str
    since: datetime
    times: int = 1


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """How one storage stands."""

    name: str
    kind: str
    """The storage's type: `local`, `s3`, ..."""
    required: bool = True
    location: str = ""
    """Where its snapshots lie, without credentials."""
    schedule: str = ""
    """As the configuration has it: `every 1h`."""
    interval: timedelta | None = None
    """Between the next two slots of its schedule."""
    next_due: datetime | None = None
    holding: Holding | None = None
    """As it was listed last; nothing before the first time."""
    listed_at: datetime | None = None
    stored: int = 0
    """How many snapshots the last listing had."""
    stored_bytes: int = 0
    oldest: datetime | None = None
    last_index: int | None = None
    """Raft index of the newest snapshot, where it is known."""
    last_success: datetime | None = None
    """When the newest whole snapshot there was taken, by this agent or another."""
    failing: OngoingFailure | None = None
    """Why the last delivery failed."""
    uploads: Mapping[str, int] = field(default_factory=dict)
    """Deliveries since the agent began, by outcome: `ok`, `failed`."""
    pruned: int = 0
    """Snapshots that retention deleted since the agent began."""
    warnings: tuple[str, ...] = ()
    """Of the last delivery."""
    alarm: str = ""
    """Why it is not pruned until an operator says so."""
    snapshots: tuple[Stored, ...] = ()
    """As they were listed last, newest first; empty where nobody is there to be shown them."""

    def judge(self, now: datetime, cluster: str = "") -> Verdict:
        """Return whether it holds what it should: the words of `check`."""
        holding = self.holding or Holding(self.name, self.kind, required=self.required)
        return judge_holding(holding, now, cluster=cluster)

    def delivered(self, result: StorageResult, at: datetime, taken_at: datetime) -> StorageStatus:
        """Return it after a delivery that ended.

        Arguments:
            result: What came of it.
            at: When it ended.
            taken_at: When the snapshot was asked for.
        """
        outcome = "failed" if result.error else "ok"
        uploads = dict(Counter(self.uploads) + Counter({outcome: 1}))
        if result.error is not None:
            return replace(self, uploads=uploads, failing=_again(self.failing, result, at))
        return replace(
            self,
            uploads=uploads,
            failing=None,
            last_success=taken_at,
            pruned=self.pruned + len(result.deleted),
            warnings=result.warnings,
            alarm=result.alarm,
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
    started_at: datetime
    received: int = 0
    """Bytes that came from the server so far."""


@dataclass(frozen=True, slots=True)
class DrillStatus:
    """What came of the last drill on schedule."""

    snapshot: str
    passed: bool
    at: datetime
    seconds: float = 0.0
    reason: str = ""
    """Why it failed."""


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
            failing=_failing(self.failing, report),
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


def _failing(before: OngoingFailure | None, report: Report) -> OngoingFailure | None:
    if report.error is None:
        return None
    if before is None:
        return OngoingFailure(str(report.error), report.started_at)
    return OngoingFailure(str(report.error), before.since, before.times + 1)


def _again(before: OngoingFailure | None, result: StorageResult, at: datetime) -> OngoingFailure:
    if before is None:
        return OngoingFailure(str(result.error), at)
    return OngoingFailure(str(result.error), before.since, before.times + 1)
