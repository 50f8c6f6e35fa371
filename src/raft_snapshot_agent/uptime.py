"""A clock that nobody sets: the time since this host was started."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

from raft_snapshot_agent.core.snapshots.snapshot import Instant

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Source: random(4) of Linux; every start of a host has another."""


def instant() -> Instant:
    """Return the present moment; containers of one host share its clock."""
    clock = _clock()
    return Instant(clock, round(time.clock_gettime(time.CLOCK_BOOTTIME), 3)) if clock else Instant()


@cache
def _clock() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except (OSError, ValueError):  # not everybody may read /proc
        return ""
