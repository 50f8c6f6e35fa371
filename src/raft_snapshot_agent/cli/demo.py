"""`demo`: everything, on an embedded cluster."""

from __future__ import annotations

from raft_snapshot_agent import __version__
from raft_snapshot_agent.demo.screen import Screen
from raft_snapshot_agent.demo.steps import play


def demo() -> int:
    """Play the demo; an error ends it with that error's exit code."""
    screen = Screen()
    screen.title(f"Raft Snapshot Agent {__version__}: its whole job, on servers of its own")
    play(screen)
    screen.end()
    return 0
