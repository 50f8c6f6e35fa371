from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
import structlog
from tests.contract.sources import Watched
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.errors import (
    AgentError,
    SnapshotNotFound,
    StorageDenied,
    StorageUnavailable,
    VerificationError,
)
from raft_snapshot_agent.observe import debug_log
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.storage.base import BytesSource, Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.retrying import RetryingStorage

NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
AT_ONCE = timedelta(milliseconds=1)


class Failing:
    """A storage that fails a number of times before it works."""

    kind = "failing"

    def __init__(self, times: int, error: type[AgentError] = StorageUnavailable) -> None:
        self._storage = MemoryStorage()
        self._left = times
        self._error = error
        self.calls = 0
        self.read_from: list[int] = []
        self.pause = 0.0

    def _fail(self) -> None:
        self.calls += 1
        if self._left:
            self._left -= 1
            error = self._error("a test wants this")
            error.pause = self.pause
            raise error

    def location(self, name: str) -> str:
        return f"failing:{name}"

    async def put(self, name: str, source: UploadSource) -> int:
        self.read_from.append(len(source.read(0, 5)))
        self._fail()
        return await self._storage.put(name, source)

    async def entries(self) -> list[Entry]:
        self._fail()
        return await self._storage.entries()

    async def read(self, name: str) -> AsyncIterator[bytes]:
        self._fail()
        async for piece in self._storage.read(name):
            yield piece

    async def delete(self, name: str) -> None:
        self._fail()
        await self._storage.delete(name)

    async def sweep(self, leftovers: Leftovers) -> int:
        self._fail()
        return await self._storage.sweep(leftovers)


async def read(storage: Storage) -> bytes:
    return b"".join([piece async for piece in storage.read(NAME)])


VERBS: list[Callable[[Storage], Awaitable[object]]] = [
    lambda storage: storage.put(NAME, BytesSource(b"snapshot")),
    lambda storage: storage.entries(),
    lambda storage: storage.delete(NAME),
    lambda storage: storage.sweep(Leftovers()),
]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_failure_that_passes_is_overcome(
    verb: Callable[[Storage], Awaitable[object]],
) -> None:
    failing = Failing(2)
    await verb(RetryingStorage(failing, wait=AT_ONCE))
    assert failing.calls == 3


@pytest.mark.parametrize("verb", [*VERBS, read])
async def test_one_that_does_not_pass_comes_out_in_the_end(
    verb: Callable[[Storage], Awaitable[object]],
) -> None:
    failing = Failing(99)
    with pytest.raises(StorageUnavailable):
        await verb(RetryingStorage(failing, attempts=4, wait=AT_ONCE))
    assert failing.calls == 4


@pytest.mark.parametrize("error", [StorageDenied, SnapshotNotFound, VerificationError])
@pytest.mark.parametrize("verb", [*VERBS, read])
async def test_all_others_come_out_at_once(
    verb: Callable[[Storage], Awaitable[object]], error: type[AgentError]
) -> None:
    failing = Failing(1, error)
    with pytest.raises(error):
        await verb(RetryingStorage(failing, wait=AT_ONCE))
    assert failing.calls == 1


async def test_a_put_starts_again_from_the_first_byte() -> None:
    failing = Failing(1)
    storage = RetryingStorage(failing, wait=AT_ONCE)
    assert await storage.put(NAME, BytesSource(b"snapshot")) == 8
    assert failing.read_from == [5, 5]
    assert await read(storage) == b"snapshot"


async def test_a_source_that_failed_meanwhile_is_not_tried_again(tmp_path: Path) -> None:
    failing = Failing(0)
    with Watched(tmp_path) as source:
        source.fail(VerificationError("the snapshot is cut off"))
        with pytest.raises(VerificationError):
            await RetryingStorage(failing, wait=AT_ONCE).put(NAME, source)
    assert failing.read_from == []


async def test_opening_a_stream_is_tried_again() -> None:
    failing = Failing(0)
    await failing.put(NAME, BytesSource(b"snapshot"))
    failing._left = 2
    assert await read(RetryingStorage(failing, wait=AT_ONCE)) == b"snapshot"


class Breaking(Failing):
    """A storage whose streams break in the middle."""

    async def read(self, name: str) -> AsyncIterator[bytes]:
        self.calls += 1
        yield b"the first half"
        raise StorageUnavailable("the connection broke")


async def test_a_stream_that_was_begun_is_not_begun_again() -> None:
    breaking = Breaking(0)
    stream = RetryingStorage(breaking, wait=AT_ONCE).read(NAME)
    assert await anext(stream) == b"the first half"
    with pytest.raises(StorageUnavailable):
        await anext(stream)
    assert breaking.calls == 1


async def test_an_empty_object_is_an_empty_stream() -> None:
    storage = RetryingStorage(MemoryStorage())
    await storage.put(NAME, BytesSource(b""))
    assert await read(storage) == b""


async def test_retries_are_not_announced_by_the_library(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        await RetryingStorage(Failing(2), wait=AT_ONCE).entries()
    assert (logs, capsys.readouterr()) == ([], ("", ""))
    assert {record.name for record in caplog.records} <= {debug_log.__name__}


LINES = {
    "put": f"retrying put failing:{NAME}",
    "list": "retrying list failing:",
    "delete": f"retrying delete failing:{NAME}",
    "sweep": "retrying sweep failing:",
    "read": f"retrying read failing:{NAME}",
}


@pytest.mark.parametrize(("verb", "line"), [*zip([*VERBS, read], LINES.values(), strict=True)])
async def test_each_retry_is_one_line_of_the_debug_log(
    verb: Callable[[Storage], Awaitable[object]], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("text", "debug")
    try:
        with pytest.raises(StorageUnavailable):
            await verb(RetryingStorage(Failing(99), wait=AT_ONCE))
    finally:
        configure("text", "info")
    said = capsys.readouterr().err.splitlines()
    assert [one.partition("debug")[2].strip() for one in said] == [
        f'{line}  storage=failing tried="{number} of 3" error="a test wants this" event=trace'
        for number in (1, 2)
    ]


async def test_a_retry_is_no_line_of_the_usual_log(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text", "info")
    await RetryingStorage(Failing(2), wait=AT_ONCE).entries()
    assert capsys.readouterr().err == ""


def test_it_is_called_what_it_wraps() -> None:
    storage = RetryingStorage(Failing(0))
    assert storage.kind == "failing"
    assert storage.location(NAME) == f"failing:{NAME}"


async def test_the_waits_between_tries_are_seconds_that_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    with pytest.raises(StorageUnavailable):
        await RetryingStorage(Failing(99)).entries()
    first, second = waits
    assert 2 <= first <= 4 <= second <= 6


async def test_a_store_that_asks_for_time_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(anyio, "sleep", wait)
    failing = Failing(9)
    failing.pause = 20.0
    with pytest.raises(StorageUnavailable):
        await RetryingStorage(failing, wait=AT_ONCE).entries()
    assert failing.calls == 3
    assert waits == [20.0, 20.0]
