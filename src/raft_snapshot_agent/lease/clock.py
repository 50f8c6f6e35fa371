"""The clock and the pauses of a lease, as arguments, so that a simulation can replace them."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio


def _awake() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _today() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Returns the time, and waits."""

    now: Callable[[], float] = _awake
    """Seconds of a monotonic clock that continues while the host is suspended."""
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    """Waits for a number of seconds."""
    spread: Callable[[], float] = random.random
    """Random number from 0 to 1, so that agents do not all look at the same moment."""
    date: Callable[[], datetime] = _today
    """The wall-clock time, for messages and records."""
