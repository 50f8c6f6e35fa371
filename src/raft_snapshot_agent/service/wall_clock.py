"""Detects that the wall clock was set.

Set back, every planned time would come too late. Set forward, retention counts by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

_NORMAL = timedelta(seconds=10)
"""Time programs slew a clock, or step it by a few seconds; that delays no snapshot noticeably."""
_AHEAD = timedelta(minutes=5)
"""More than a time program corrects at once in normal operation."""
_SLEW = 10
"""Time programs slew a clock by at most one second in so many; what is faster adds up."""


def measure_uptime() -> timedelta:
    """Return the time since boot, including the time in which the host is suspended."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


class WallClockWatch:
    """Compares the wall clock with the time since boot, which cannot be set."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        uptime: Callable[[], timedelta] = measure_uptime,
    ) -> None:
        """Note both clocks.

        Arguments:
            clock: Returns the present time.
            uptime: Returns the time since boot, including the time in which the host is suspended.
        """
        self._clock = clock
        self._uptime = uptime
        self._looked = uptime()
        self._booted = clock() - self._looked

    def find_step(self) -> timedelta:
        """Return how far the wall clock was set since the last call, negative if it was set back.

        Zero if it was not set notably.
        """
        before, looked = self._booted, self._looked
        self._looked = self._uptime()
        self._booted = self._clock() - self._looked
        step = self._booted - before
        if step < -_NORMAL or step > _AHEAD:
            return step
        self._booted = max(self._booted, before - (self._looked - looked) / _SLEW)
        return timedelta(0)
