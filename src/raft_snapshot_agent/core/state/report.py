"""The report of one run. Log, exit code, metrics and pages are functions of this value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from raft_snapshot_agent.core.snapshots.snapshot import Snapshot
from raft_snapshot_agent.errors import (
    AgentError,
    LeaseHeld,
    NotLeader,
    PartialFailure,
    RetentionSuspended,
    Stopped,
    StorageError,
)

if TYPE_CHECKING:  # only what lists a storage makes one
    from raft_snapshot_agent.core.state.holding import Survey


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Another agent is responsible."""
    STOPPED = "stopped"


SHARED_PHASES = ("leader", "wait", "download", "verify")
"""Phases that are common to all storages; they overlap."""
STORAGE_PHASES = ("upload", "finish")
"""Phases per storage; the last one includes guard, manifest and retention."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of a run, with its duration."""

    name: str
    began: float
    """Seconds after the start of the run."""
    seconds: float
    storage: str = ""
    """Name of the storage; empty for phases of all storages."""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """Result of a run for one storage."""

    storage: str
    kind: str
    """Type of the storage in log messages: `local`, `aws`, ..."""
    location: str = ""
    """Address of the stored snapshot; empty if it was not stored."""
    seconds: float = 0.0
    deleted: tuple[str, ...] = ()
    """Names of the snapshots that retention deleted."""
    warnings: tuple[str, ...] = ()
    """Failures that do not affect the snapshot, such as a refused delete. The text stays the same
    from run to run while the condition lasts."""
    undeleted: Mapping[str, int] = field(default_factory=dict)
    """How many snapshots could not be deleted, by the warning that tells of them."""
    alarm: str = ""
    """Why retention is suspended until an operator acknowledges it; repeated in every run."""
    required: bool = True
    """Whether a failure of this storage is a failure of the run."""
    error: AgentError | None = None
    survey: Survey | None = field(default=None, compare=False)
    """Content of the storage after the run, if it was listed."""
    name: str = ""
    """Name of the stored snapshot; empty if it was not stored."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run, from the search for the leader to the last delete."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    snapshot: Snapshot | None = None
    node: str = ""
    """Address of the server that sent the snapshot."""
    deliveries: tuple[Delivery, ...] = ()
    error: AgentError | None = None
    """Why there is no snapshot at all."""
    warnings: tuple[str, ...] = ()
    """Errors of servers that were tried before that one."""
    phases: tuple[Phase, ...] = ()
    """In the order in which they ended."""
    responsible: bool = False
    """Whether this agent was found to be the one that takes the snapshot, even if it failed."""
    doubt: AgentError | None = None
    """Why it is uncertain that this agent is the one that takes the snapshot."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def durations(self) -> Mapping[tuple[str, str], float]:
        """Seconds by phase and storage."""
        return {(one.name, one.storage): one.seconds for one in self.phases}

    @property
    def outcome(self) -> Outcome:
        match self.error:
            case NotLeader() | LeaseHeld():
                return Outcome.SKIPPED
            case Stopped():
                return Outcome.STOPPED
            case AgentError():
                return Outcome.FAILED
        failed = [delivery for delivery in self.deliveries if delivery.error is not None]
        if failed and len(failed) == len(self.deliveries):
            return Outcome.FAILED
        return Outcome.PARTIAL if any(one.required for one in failed) else Outcome.OK

    @property
    def leaves_open(self) -> bool:
        """Whether it says nothing about an earlier failure, as the lease was not held.

        Whoever gave the lease away after failures has stored nothing, and its next holder may fail
        too. A node that names another leader works, and the failure was that node's.
        """
        return isinstance(self.error, (LeaseHeld, Stopped))

    @property
    def exit_code(self) -> int:
        """The command's exit code: 0 done, 2 remote, 3 partial, 4 broken, 5 not the leader,
        6 all is stored, but an alarm is active.
        """
        if self.error is not None:
            return self.error.exit_code
        match self.outcome:
            case Outcome.PARTIAL:
                return PartialFailure.exit_code
            case Outcome.FAILED:
                return StorageError.exit_code
            case Outcome.OK if any(one.alarm for one in self.deliveries):
                return RetentionSuspended.exit_code
            case _:
                return 0
