"""What one run did. Log, exit code, metrics and pages are functions of this one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from raft_snapshot_agent.core.snapshot import Snapshot
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
    from raft_snapshot_agent.core.holding import Survey


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Another agent is to work."""
    STOPPED = "stopped"


SHARED_PHASES = ("leader", "wait", "download", "verify")
"""Parts of a run that are for all storages; they overlap, for nobody waits for another."""
STORAGE_PHASES = ("upload", "finish")
"""Parts that each storage has; the last one is guard, manifest and retention."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run: what it was, and how long it took."""

    name: str
    began: float
    """Seconds after the run's beginning."""
    seconds: float
    storage: str = ""
    """Empty: it was for all of them."""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class StorageResult:
    """What one storage got of a run."""

    storage: str
    kind: str
    """The word for the storage in the log: `local`, `aws`, ..."""
    location: str = ""
    """Where the snapshot lies now; empty where it does not."""
    seconds: float = 0.0
    deleted: tuple[str, ...] = ()
    """Names that retention removed."""
    warnings: tuple[str, ...] = ()
    """What went wrong without harming the snapshot, such as a refused delete. The same words from
    run to run while it lasts."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many snapshots a warning is about, where that is not in its words."""
    alarm: str = ""
    """Why this storage is not pruned until an operator says so; at every run until then."""
    required: bool = True
    """Whether a failure here is a failure of the run."""
    error: AgentError | None = None
    survey: Survey | None = field(default=None, compare=False)
    """What the storage holds after it, where it was listed."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run, from asking who leads to the last delete."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    snapshot: Snapshot | None = None
    node: str = ""
    """Address of the server it came from."""
    deliveries: tuple[StorageResult, ...] = ()
    error: AgentError | None = None
    """Why there is no snapshot at all."""
    warnings: tuple[str, ...] = ()
    """What was wrong with servers that were asked before the one that it came from."""
    phases: tuple[Phase, ...] = ()
    """In the order in which they ended."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def durations(self) -> Mapping[tuple[str, str], float]:
        """By phase and storage, how many seconds it took."""
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
