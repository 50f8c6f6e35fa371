"""When the present work last made progress."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Progress:
    """Records when work last made progress; thread-safe."""

    def __init__(self) -> None:
        self._moved = time.monotonic()
        self._paused = 0
        self._limit = math.inf
        self._going = 0

    def touch(self) -> None:
        """Record progress."""
        self._moved = time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since the last progress; 0 while paused."""
        return 0.0 if self._paused else time.monotonic() - self._moved

    @property
    def stuck(self) -> bool:
        """Whether the last progress is longer ago than all time-outs allow."""
        return self.idle > self._limit

    @property
    def is_going(self) -> bool:
        """Whether work is in progress."""
        return self._going > 0

    @contextmanager
    def going(self, limit: float) -> Iterator[None]:
        """Enclose work that makes progress at least every `limit` seconds."""
        self._limit = limit
        token = PROGRESS.set(self)
        self.touch()
        self._going += 1
        try:
            yield
        finally:
            self._going -= 1
            self._limit = math.inf
            PROGRESS.reset(token)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Enclose waiting for a permit, which does not count as a lack of progress."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1
            self.touch()


PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)
"""Progress of the present run."""


def touch() -> None:
    """Record progress of the present run."""
    if (progress := PROGRESS.get()) is not None:
        progress.touch()
