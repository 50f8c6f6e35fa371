"""Retries requests that may be repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from raft_snapshot_agent.errors import Stopped, StorageUnavailable
from raft_snapshot_agent.network.deadline import current

T = TypeVar("T")

_WAITS = (0.1, 0.4, 1.0, 2.0)
"""Seconds before each retry."""
_RETRY_FOR = 60.0


def ask_patiently(once: Callable[[], T], timeout: float, stop: Event) -> T:
    """Make a request, with retries where they may help.

    Arguments:
        once: Makes the request.
        timeout: Seconds after which no retry is started; at most a minute.
        stop: Set to cancel.

    Raises:
        StorageError: The request was refused or not answered.
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
