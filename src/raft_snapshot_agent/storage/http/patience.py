"""How often a request is made again that may be made again."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from raft_snapshot_agent.errors import Stopped, StorageUnavailable
from raft_snapshot_agent.network.deadline import current

T = TypeVar("T")

_WAITS = (0.1, 0.4, 1.0, 2.0)
"""Seconds before a request is made again."""
_RETRY_FOR = 60.0


def ask_patiently(once: Callable[[], T], timeout: float, stop: Event) -> T:
    """Make a request, and again where that may help.

    Arguments:
        once: Makes it.
        timeout: Seconds after which none is begun any more; a minute at most.
        stop: Set to have it give up.

    Raises:
        StorageError: It was refused, or there was no answer.
    """
    until = time.monotonic() + min(_RETRY_FOR, timeout)
    for wait in _WAITS:
        try:
            return once()
        except StorageUnavailable:
            deadline = current()
            if time.monotonic() + wait > until or (deadline and not deadline.left):
                raise
        if stop.wait(wait):
            raise Stopped("the upload was cancelled")
    return once()
