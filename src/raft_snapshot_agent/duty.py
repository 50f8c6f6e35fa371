"""What is done for one cluster until it is told otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from raft_snapshot_agent.agent import Agent
from raft_snapshot_agent.core.timetable import Timing
from raft_snapshot_agent.logs import Log


@dataclass(frozen=True, slots=True)
class Duty:
    """What is done for one cluster until it is told otherwise."""

    agent: Agent
    timing: Timing
    """For storages that have none of their own."""
    log: Log
    seed: bool = False
    """Whether the log is to be the original agent's."""

    def timings(self) -> dict[str, Timing]:
        return {place.name: place.timing or self.timing for place in self.agent.places}
