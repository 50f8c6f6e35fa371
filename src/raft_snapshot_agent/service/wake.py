"""Sleep that ends at a moment by the wall clock, or when something has to be done before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import anyio

SLICE = 30.0
"""Longest sleep in seconds: the wall clock may step and the host may be suspended."""


class Wake:
    """What somebody sleeps by, and is woken by."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._woken = anyio.Event()

    def up(self) -> None:
        """End the sleep, or the next one."""
        self._woken.set()

    async def until(self, due: datetime) -> bool:
        """Wait until it is `due`; return whether it was woken before."""
        while (left := due - self._clock()) > timedelta(0):
            with anyio.move_on_after(min(SLICE, left.total_seconds())):
                await self._woken.wait()
            if self._woken.is_set():
                self._woken = anyio.Event()
                return True
        return False
