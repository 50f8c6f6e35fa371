"""Measures how long each phase of a run takes, for its report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from raft_snapshot_agent.core.report import Phase


class PhaseNotes:
    """The phases of one run that have ended so far; safe to share between threads."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ended: list[Phase] = []

    @classmethod
    def begin(cls) -> PhaseNotes:
        """Start to record the phases of this task and of all it starts."""
        notes = cls()
        _NOTES.set(notes)
        return notes

    @property
    def ended(self) -> tuple[Phase, ...]:
        """The phases that have ended so far."""
        return tuple(self._ended)

    @contextmanager
    def measure(self, name: str, storage: str) -> Iterator[None]:
        """Record the duration of the enclosed block."""
        started, failed = time.monotonic(), True
        try:
            yield
            failed = False
        finally:
            took = time.monotonic() - started
            self._ended.append(Phase(name, started - self._began, took, storage, failed))


_NOTES: ContextVar[PhaseNotes | None] = ContextVar("phase_notes", default=None)


@contextmanager
def phase(name: str, storage: str = "") -> Iterator[None]:
    """Record how long the enclosed part of the present run takes, if a run is recorded.

    Arguments:
        name: One of `SHARED_PHASES` or `STORAGE_PHASES`.
        storage: Name of the storage it belongs to; empty for all storages.
    """
    notes = _NOTES.get()
    if notes is None:
        yield
        return
    with notes.measure(name, storage):
        yield
