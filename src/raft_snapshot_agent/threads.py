"""Blocking work beside the event loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

_T = TypeVar("_T")

# Followers of a spool wait in their threads; with the default limit enough of them would keep
# the very thread from starting that they wait for.
_UNLIMITED = CapacityLimiter(math.inf)


async def in_thread(work: Callable[[], _T], *, abandon: bool = False) -> _T:
    """Run `work` in a thread and wait for it.

    Arguments:
        work: Takes no argument; use a lambda or `functools.partial`.
        abandon: Let a cancelled caller go on while `work` still runs; only for work that is
            harmless when nobody waits for it any more.
    """
    return await to_thread.run_sync(work, limiter=_UNLIMITED, abandon_on_cancel=abandon)
