"""The status of drills: the result of the last one, and the schedule of the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.state.freshness import deadline
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, still_failing


@dataclass(frozen=True, slots=True)
class DrillStatus:
    """Result of the last drill, by any agent."""

    snapshot: str
    passed: bool
    at: datetime
    seconds: float = 0.0
    reason: str = ""
    """Why it failed."""
    server: str = ""
    """Product and version of the throw-away server; empty if none was started."""
    proved: str = ""
    """What was found in the restored server."""

    @classmethod
    def of(cls, note: DrillNote, at: datetime) -> DrillStatus:
        """Return the status from a note of a drill that started at a given time."""
        return cls(
            note.snapshot, note.passed, at, note.seconds, note.reason, note.server, note.proved
        )


@dataclass(frozen=True, slots=True)
class DrillSchedule:
    """The scheduled drills that this agent runs."""

    due: datetime | None = None
    """When the next one is due; `None` until the storages were read."""
    late: datetime | None = None
    """When it is overdue; `None` until the storages were read."""
    failing: OngoingFailure | None = None
    """Why none can be run."""

    def planned(self, due: datetime, late: datetime) -> DrillSchedule:
        """Return the schedule with the next drill."""
        return replace(self, due=due, late=late)

    def not_held(self, why: str, at: datetime) -> DrillSchedule:
        """Return the schedule after a drill could not be run."""
        return replace(self, failing=still_failing(self.failing, why, at))

    def after(self, began: datetime) -> DrillSchedule:
        """Return the schedule after a drill, by hand or by any agent, that began at a time."""
        if self.failing is None or began <= self.failing.since:
            return self
        return replace(self, failing=None)

    def is_late(self, now: datetime) -> bool:
        """Return whether a drill is overdue."""
        return self.late is not None and now > self.late

    def is_pending(self, now: datetime) -> bool:
        """Return whether a drill is due, or may be, and has not ended yet."""
        return self.due is None or now >= self.due


def find_late(timing: ScheduleSpec, last: datetime | None, since: datetime) -> datetime:
    """Return when a drill is overdue: after two slots, the jitter, and a grace period.

    Arguments:
        timing: The schedule.
        last: When the last drill began; `None` without one.
        since: When the agent began to watch: one that was stopped for long has a slot to make up.
    """
    late = deadline(timing, deadline(timing, last or since).due).late
    return max(late, deadline(timing, since).late)
