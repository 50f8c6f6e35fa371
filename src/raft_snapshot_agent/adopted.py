"""Reaps what ended programs left behind, where this process adopts it: as process 1 of a container.

Elsewhere process 1 is an init system, which reaps orphans itself.
"""

from __future__ import annotations

import os
import time

_PATIENCE = 1.0
"""Seconds for killed processes to end; one that hangs in the kernel stays."""
_PAUSE = 0.01


def reap_group(group: int) -> None:
    """Reap the children of this process in a group whose processes were killed.

    Other children are left to those who started them and wait for them.

    Arguments:
        group: The process ID of the program that led it.
    """
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            reaped, _ = os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:
            return
        if not reaped:
            time.sleep(_PAUSE)
