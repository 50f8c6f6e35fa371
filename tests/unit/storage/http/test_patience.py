"""How long a request that may be made again is waited with, and how often it is made."""

from __future__ import annotations

from threading import Event

import pytest

from raft_snapshot_agent.errors import Stopped, StorageUnavailable
from raft_snapshot_agent.storage.http.patience import ask_patiently


class Recorded(Event):
    """Is waited for in no time, and knows how long it would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def test_the_waits_between_tries_grow() -> None:
    stop, tries = Recorded(), 0

    def fail() -> None:
        nonlocal tries
        tries += 1
        raise StorageUnavailable("a test wants this")

    with pytest.raises(StorageUnavailable):
        ask_patiently(fail, 60.0, stop)

    assert tries == len(stop.waits) + 1 == 5
    assert stop.waits == sorted(stop.waits)
    assert stop.waits[0] >= 0.1
    assert sum(stop.waits) >= 3.0


def test_nothing_is_tried_again_once_it_is_to_stop() -> None:
    stop = Recorded()
    stop.set()

    def fail() -> None:
        raise StorageUnavailable("a test wants this")

    with pytest.raises(Stopped):
        ask_patiently(fail, 60.0, stop)
    assert len(stop.waits) == 1
