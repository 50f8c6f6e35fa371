"""How long a request that may be made again is waited with, and how often it is made."""

from __future__ import annotations

from threading import Event

import pytest
from tests.raw_server import RawServer, whole
from tests.unit.storage.test_bounds import opened
from urllib3 import HTTPResponse

from raft_snapshot_agent.errors import Stopped, StorageError, StorageUnavailable
from raft_snapshot_agent.network.deadline import enforce
from raft_snapshot_agent.storage.http.patience import ask_patiently, note_pause


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


class Busy:
    """A store that asks to wait for so long, a number of times."""

    def __init__(self, pause: float, times: int = 99) -> None:
        self.tries = 0
        self._pause, self._times = pause, times

    def ask(self) -> str:
        self.tries += 1
        if self.tries > self._times:
            return "done"
        error = StorageUnavailable("a test wants this")
        error.pause = self._pause
        raise error


def test_a_store_that_asks_for_time_gets_it() -> None:
    stop, store = Recorded(), Busy(20.0, times=2)
    assert ask_patiently(store.ask, 60.0, stop) == "done"
    assert stop.waits == [20.0, 20.0]


def test_nobody_waits_longer_than_the_storages_time_out() -> None:
    stop, store = Recorded(), Busy(20.0)
    with pytest.raises(StorageUnavailable):
        ask_patiently(store.ask, 15.0, stop)
    with enforce(15.0), pytest.raises(StorageUnavailable):
        ask_patiently(store.ask, 60.0, stop)
    assert (store.tries, stop.waits) == (2, [])


@pytest.mark.parametrize(
    ("told", "pause"),
    [
        ("20", 20.0),
        (" 0 ", 0.0),
        ("86400", 60.0),
        ("9" * 5000, 60.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("nan", 0.0),
        ("\u0665", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        ("", 0.0),
    ],
)
def test_what_a_store_asks_for_is_bounded(told: str, pause: float) -> None:
    answer = HTTPResponse(status=503, headers={"Retry-After": told})
    assert note_pause(StorageUnavailable("a test wants this"), answer).pause == pause
    assert note_pause(StorageError("a test wants this"), answer).pause == 0.0


@pytest.mark.parametrize("kind", ["azure", "gcs", "s3", "swift", "webdav"])
@pytest.mark.parametrize("status", ["503 Slow Down", "429 Too Many Requests"])
async def test_every_store_is_asked_no_sooner_than_it_wants(kind: str, status: str) -> None:
    refused = f"HTTP/1.1 {status}\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n".encode()
    with RawServer(whole(refused)) as server:
        with pytest.raises(StorageUnavailable) as raised:
            await opened(kind, server.address, timeout="5s").entries()
        assert len(server.asked) == 1
    assert raised.value.pause == 20.0
