"""What the loop, the drills and the scrubs of one cluster share, under every configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.progress import Progress
from raft_snapshot_agent.observe.run_log import Journal


@dataclass(frozen=True, slots=True)
class ClusterContext:
    """The log, progress and status of one cluster."""

    journal: Journal
    progress: Progress
    """Of the snapshot under way."""
    board: StatusBoard
    clock: Callable[[], datetime]
    """Returns the present time."""
