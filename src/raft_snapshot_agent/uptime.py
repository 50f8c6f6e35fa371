"""The time since boot, a clock that cannot be set."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

from raft_snapshot_agent.core.snapshot import Instant

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Source: random(4) of Linux; it differs after every boot."""


def instant() -> Instant:
    """Return the current instant; containers on one host share this clock."""
    clock = _clock()
    return Instant(clock, round(time.clock_gettime(time.CLOCK_BOOTTIME), 3)) if clock else Instant()


@cache
def _clock() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except (OSError, ValueError):  # /proc may not be readable
        return ""
