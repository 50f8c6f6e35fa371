"""The configuration and objects of a cluster's loop, replaced on a reload."""

from __future__ import annotations

from dataclasses import dataclass, field

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.observe.run_log import ConditionKey
from raft_snapshot_agent.service.drill_plan import DrillPlan
from raft_snapshot_agent.service.scrub_plan import ScrubPlan


@dataclass(frozen=True, slots=True)
class ActiveCluster:
    """The configuration and objects of one cluster, until the next reload."""

    agent: Agent
    timing: ScheduleSpec
    """Schedule of the storages without one of their own."""
    log: Log
    seed: bool = False
    """Whether to log in the format of the original agent."""

    patience: float = 3600.0
    """Seconds without progress after which a run counts as stuck."""
    drills: DrillPlan | None = None
    """Scheduled drills; `None`: there are none."""
    name: str = ""
    """The cluster's name; empty if it is the only one."""
    scrubs: ScrubPlan | None = None
    """Scheduled scrubs; `None`: there are none."""
    shared: bool = False
    """Whether other agents may take its snapshots: those beside other nodes, or with the lease."""
    places: frozenset[object] = field(default=frozenset(), repr=False)
    """What no other cluster may use at the same time, such as its server and its storages."""

    def watches(self, condition: ConditionKey) -> bool:
        """Return whether this configuration can tell when a condition has ended."""
        storage = condition.storage
        match condition.event:
            case LogEvent.DRILL_NOT_HELD:
                return self.drills is not None
            case LogEvent.SCRUB_FAILED | LogEvent.SCRUB_TROUBLE:
                scrubbed = () if self.scrubs is None else self.scrubs.destinations
                return any(one.name == storage for one in scrubbed)
            case _:
                return not storage or any(one.name == storage for one in self.agent.destinations)

    def has_objects_of(self, other: ActiveCluster | None) -> bool:
        """Return whether it differs from another in its place among the clusters at most."""
        return other is not None and self.agent is other.agent

    def timings(self) -> dict[str, ScheduleSpec]:
        """Return when each storage is to get snapshots."""
        return {
            destination.name: self.timing.own(destination.timing)
            for destination in self.agent.destinations
        }
