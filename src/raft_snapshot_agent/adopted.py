"""Reaps what ended programs left behind, where this process adopts it: as process 1 of a container.

Elsewhere process 1 is an init system, which reaps orphans itself.
"""

from __future__ import annotations

import os
import subprocess
import time

_PATIENCE = 1.0
"""Seconds for killed processes to end; one that hangs in the kernel stays."""
_PAUSE = 0.01


def reap(program: subprocess.Popen[bytes]) -> None:
    """Reap a program that led a process group, and what it started, after all were killed.

    Other children are left to those who started them and wait for them.
    """
    program.wait()
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            reaped, _ = os.waitpid(-program.pid, os.WNOHANG)
        except ChildProcessError:
            return
        if not reaped:
            time.sleep(_PAUSE)
