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
    """What is read back for one cluster; it shares no connection with the snapshots."""

    destinations: Sequence[Destination]
    """Without those that may only be written to."""
    every: timedelta
    read: int
    """Snapshots of each storage in one turn."""
    spool: Path


def plan_scrubs(config: Config) -> ScrubPlan | None:
    """Return what is read back for a cluster; nothing where nothing is."""
    if config.scrub is None:
        return None
    readable = [one for one in assembly.destinations(config) if one.prunes]
    spool = spool_folder(config, os.environ)
    return ScrubPlan(readable, config.scrub.every, config.scrub.read, spool)
