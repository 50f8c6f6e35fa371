"""The clock and the pauses of a lease, as arguments: a simulation has its own."""

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
    """Tells the time, and waits."""

    now: Callable[[], float] = _awake
    """Seconds of a clock that goes on while the host is suspended, and is never set."""
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    """Waits that many seconds."""
    spread: Callable[[], float] = random.random
    """A number from 0 to 1: not all agents look at the same moment."""
    date: Callable[[], datetime] = _today
    """The present time, for people."""
