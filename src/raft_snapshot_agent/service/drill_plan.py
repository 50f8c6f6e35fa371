"""The settings of a scheduled drill."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from raft_snapshot_agent.config.keys import KeyPosition
from raft_snapshot_agent.config.model import Config, spool_folder
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.drill_notes import find_newest_drill
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:  # imported only if drills are configured
    from raft_snapshot_agent.restore.rehearsal import DrillOutcome


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """The configuration of scheduled drills, with connections separate from those of snapshots."""

    config: Config
    position: KeyPosition
    destinations: Sequence[Destination]
    timing: ScheduleSpec

    async def find_newest(self, now: datetime) -> DrillNote | None:
        """Return the result of the last drill, by any agent.

        Raises:
            StorageError: No storage could be read.
        """
        found: dict[datetime, DrillNote] = {}
        troubles: list[AgentError] = []
        for destination in self.destinations:
            try:
                newest = await find_newest_drill(destination, now)
            except AgentError as error:
                troubles.append(error)
            else:
                if newest is not None and newest.began is not None:
                    found[newest.began] = newest
        if troubles and len(troubles) == len(self.destinations):
            raise troubles[0]
        return found[max(found)] if found else None

    async def run(self, tell: Callable[[str], None]) -> DrillOutcome:
        """Run a drill with the newest snapshot.

        Arguments:
            tell: Called with warnings: of what may be a better choice, and of broken copies.

        Raises:
            AgentError: The drill cannot be run.
        """
        from raft_snapshot_agent.config.check import check_drill
        from raft_snapshot_agent.restore.choice import Newest, choose
        from raft_snapshot_agent.restore.rehearsal import rehearse

        await in_thread(lambda: check_drill(self.config.drill, self.position))
        now = datetime.now(UTC)
        choice = await choose(self.destinations, Newest(), now)
        for one in choice.missed:
            tell(str(one))
        spool = spool_folder(self.config, os.environ)
        return await rehearse(choice.reader, self.config.drill, spool, now, tell=tell)


def plan_drills(config: Config, position: KeyPosition, cluster: str) -> DrillPlan | None:
    """Return the plan of a cluster's drills; `None` if none are scheduled."""
    if config.drill.schedule is None:
        return None
    destinations = assembly.destinations(config, cluster=cluster)
    return DrillPlan(config, position, destinations, config.drill.schedule.open())
