"""`demo`: everything, on an embedded cluster."""

from __future__ import annotations

import signal
import sys

from raft_snapshot_agent import __version__
from raft_snapshot_agent.demo.screen import Screen
from raft_snapshot_agent.demo.steps import play
from raft_snapshot_agent.errors import AgentError


def demo(*, goes_on: bool) -> int:
    """Play the demo; return the exit code, which is that of the step that failed.

    Arguments:
        goes_on: Leave it running after the first steps, until Ctrl-C.
    """
    # By themselves they would end it at once, with its folder left behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    screen = Screen()
    screen.title(f"Raft Snapshot Agent {__version__}: its whole job, on servers of its own")
    try:
        play(screen, goes_on=goes_on)
    except AgentError as error:
        if not screen.failed:
            raise
        return error.exit_code
    screen.end()
    return 0
