"""Waiting for what other processes and threads do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], within: float = 60) -> None:
    """Wait until something holds, however busy the machine is."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
