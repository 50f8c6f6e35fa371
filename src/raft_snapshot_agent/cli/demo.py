"""`demo`: all functions on an embedded cluster."""

from __future__ import annotations

import signal
import sys
import weakref
from types import FrameType

from raft_snapshot_agent import __version__
from raft_snapshot_agent.cli.waiting import list_ending_signals
from raft_snapshot_agent.demo.screen import Screen
from raft_snapshot_agent.demo.steps import play
from raft_snapshot_agent.errors import AgentError

_AGAIN = 0.05
"""Seconds after which a signal that came during a finalizer is raised again."""


def demo(*, goes_on: bool) -> int:
    """Run the demo; return the exit code of the step that failed, or 0.

    Arguments:
        goes_on: Keep it running after the first steps, until Ctrl-C.
    """
    end_on_signals()
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


def end_on_signals() -> None:
    """Raise an exception on signals that end a command, so that the demo removes its folder."""
    for number in list_ending_signals():
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    if _is_in_finalizer(frame):  # Python would print the exception and go on
        signal.signal(signal.SIGALRM, lambda _, interrupted: _end(number, interrupted))
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        return
    if number == signal.SIGHUP:  # it is sent twice, and the second must not end the removal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _is_in_finalizer(frame: FrameType | None) -> bool:
    """Return whether a frame is of a finalizer, or was called by one: `weakref`, `__del__`."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename == weakref.__file__ or code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
