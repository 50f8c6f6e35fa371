"""The settings of scheduled scrubs: how often, and how much is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from raft_snapshot_agent.config.model import Config, spool_folder
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.service import assembly


@dataclass(frozen=True, slots=True)
class ScrubPlan:
    """The configuration of scrubs, with connections separate from those of snapshots."""

    destinations: Sequence[Destination]
    """All except write-only storages."""
    every: timedelta
    read: int
    """Number of snapshots to read per storage and scrub."""
    spool: Path


def plan_scrubs(config: Config, cluster: str) -> ScrubPlan | None:
    """Return the plan of a cluster's scrubs; `None` if none are scheduled."""
    if config.scrub is None:
        return None
    destinations = assembly.destinations(config, cluster=cluster)
    readable = [one for one in destinations if not one.is_write_only]
    spool = spool_folder(config, os.environ)
    return ScrubPlan(readable, config.scrub.every, config.scrub.read, spool)
