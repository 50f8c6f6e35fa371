"""Retries requests that may be repeated, not before the time for which a store asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from raft_snapshot_agent.errors import Stopped, StorageError, StorageUnavailable
from raft_snapshot_agent.network.deadline import current

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

_WAITS = (0.1, 0.4, 1.0, 2.0)
"""Seconds before each retry."""
_RETRY_FOR = 60.0
_LONGEST_PAUSE = 60.0
"""Most seconds to wait because a store asks for it."""


def ask_patiently(once: Callable[[], T], timeout: float, stop: Event) -> T:
    """Make a request, with retries where they may help.

    Arguments:
        once: Makes the request.
        timeout: Seconds after which no retry is started, also if the store asks to wait longer; at
            most a minute.
        stop: Set to cancel.

    Raises:
        StorageError: The request was refused or not answered.
    """
    until = time.monotonic() + min(_RETRY_FOR, timeout)
    for wait in _WAITS:
        try:
            return once()
        except StorageUnavailable as error:
            pause, deadline = max(wait, error.pause), current()
            if time.monotonic() + pause > until or (deadline and deadline.left <= pause):
                raise
        if stop.wait(pause):
            raise Stopped("the upload was cancelled")
    return once()


def note_pause(error: StorageError, answer: BaseHTTPResponse) -> StorageError:
    """Note in the error of an answer how long the store asks to wait, if a retry may succeed.

    Source: RFC 9110, section 10.2.3. A date there is ignored: the clocks may differ.
    """
    told = answer.headers.get("retry-after", "").strip()
    if isinstance(error, StorageUnavailable) and told.isascii() and told.isdecimal():
        error.pause = min(float(told), _LONGEST_PAUSE)
    return error
