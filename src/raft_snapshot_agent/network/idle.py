"""Closes connections that have not been used for some seconds.

An agent of thousands of clusters would otherwise keep one open to each server and store until the
next snapshot, when the other side has usually closed it.
"""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import Protocol
from weakref import WeakKeyDictionary

import anyio

_IDLE = 5.0
"""Seconds without a request after which the connections of a pool are closed."""


class ClearablePool(Protocol):
    """A pool of connections; urllib3's pools are of this kind."""

    def clear(self) -> None:
        """Close idle connections; those in use are closed after their answers."""


_lock = Lock()
_used: WeakKeyDictionary[ClearablePool, float] = WeakKeyDictionary()


def note_use(pool: ClearablePool) -> None:
    """Note that a request is made with a pool."""
    with _lock:
        _used[pool] = monotonic()


def close_idle(seconds: float = _IDLE) -> None:
    """Close the connections of all pools that were last used so many seconds ago, or earlier."""
    before = monotonic() - seconds
    with _lock:
        idle = [pool for pool, used in _used.items() if used <= before]
        for pool in idle:
            del _used[pool]
    for pool in idle:
        pool.clear()


async def keep_closing_idle() -> None:
    """Close idle connections from time to time, until it is cancelled."""
    while True:
        await anyio.sleep(_IDLE)
        close_idle()
