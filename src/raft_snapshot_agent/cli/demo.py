"""`demo`: all functions on an embedded cluster."""

from __future__ import annotations

import signal
import sys

from raft_snapshot_agent import __version__
from raft_snapshot_agent.demo.screen import Screen
from raft_snapshot_agent.demo.steps import play
from raft_snapshot_agent.errors import AgentError


def demo(*, goes_on: bool) -> int:
    """Run the demo; return the exit code of the step that failed, or 0.

    Arguments:
        goes_on: Keep it running after the first steps, until Ctrl-C.
    """
    # By default these signals would end it without removing its folder.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    screen = Screen()
    screen.title(f"Raft Snapshot Agent {__version__}: a demo of all functions, on its own servers")
    try:
        play(screen, goes_on=goes_on)
    except AgentError as error:
        if not screen.failed:
            raise
        return error.exit_code
    screen.end()
    return 0
