"""What a cluster loop works with, until a new configuration replaces it."""

from __future__ import annotations

from dataclasses import dataclass

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.core.schedules.timetable import ScheduleSpec
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.service.drill_plan import DrillPlan
from raft_snapshot_agent.service.scrub_plan import ScrubPlan


@dataclass(frozen=True, slots=True)
class ClusterService:
    """What is done for one cluster until it is told otherwise."""

    agent: Agent
    timing: ScheduleSpec
    """For storages that have none of their own."""
    log: Log
    seed: bool = False
    """Whether the log is to be the original agent's."""

    patience: float = 3600.0
    """Seconds after which a run that does not go on is taken for dead."""
    drills: DrillPlan | None = None
    """Those on schedule; nothing: there are none."""
    name: str = ""
    """Of the cluster; one alone needs none."""
    scrubs: ScrubPlan | None = None
    """What is read back; nothing: nothing is."""

    def timings(self) -> dict[str, ScheduleSpec]:
        """Return when each storage is to get snapshots."""
        return {
            destination.name: self.timing.own(destination.timing)
            for destination in self.agent.destinations
        }
