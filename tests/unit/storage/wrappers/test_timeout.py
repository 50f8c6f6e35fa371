from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.raw_server import OK, RawServer

from raft_snapshot_agent.errors import StorageError, StorageUnavailable
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.storage.base import BytesSource, Entry, Storage, UploadSource
from raft_snapshot_agent.storage.http import body
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.limits import ListTooLong
from raft_snapshot_agent.storage.local.local import LocalSettings
from raft_snapshot_agent.storage.s3.s3 import S3Settings
from raft_snapshot_agent.storage.webdav.webdav import WebdavSettings
from raft_snapshot_agent.storage.wrappers import timeout
from raft_snapshot_agent.storage.wrappers.timeout import TimeoutStorage
from raft_snapshot_agent.threads import in_thread

NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
SOON = timedelta(milliseconds=200)


class Hanging:
    """A storage that never answers."""

    kind = "hanging"

    def location(self, name: str) -> str:
        return f"/mnt/{name}"

    async def put(self, _name: str, source: UploadSource) -> int:
        source.read(0, 1)
        await asyncio.sleep(3600)
        return 0

    async def entries(self) -> list[Entry]:
        await asyncio.sleep(3600)
        return []

    async def read(self, _name: str) -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.sleep(3600)

    async def delete(self, _name: str) -> None:
        await asyncio.sleep(3600)

    async def sweep(self, _leftovers: Leftovers) -> int:
        await asyncio.sleep(3600)
        return 0


async def everything(storage: Storage) -> bytes:
    return b"".join([piece async for piece in storage.read(NAME)])


VERBS: list[Callable[[Storage], Awaitable[object]]] = [
    lambda storage: storage.put(NAME, BytesSource(b"snapshot")),
    lambda storage: storage.entries(),
    everything,
    lambda storage: storage.delete(NAME),
    lambda storage: storage.sweep(Leftovers()),
]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_storage_that_hangs_is_given_up(
    verb: Callable[[Storage], Awaitable[object]],
) -> None:
    with pytest.raises(StorageError, match=r"/mnt/\S* has not answered for 200ms"):
        await verb(TimeoutStorage(Hanging(), SOON))


class Slow:
    """A source that takes longer than any storage may, piece by piece."""

    def link(self, _target: Path) -> bool:
        return False

    def follow(self, position: int) -> int:
        threading.Event().wait(0.35)
        return min(position + 4, 8)

    def read(self, position: int, _size: int) -> bytes:
        return b"abcdefgh"[position : self.follow(position)]


async def test_a_slow_server_is_not_the_storages_fault(tmp_path: Path) -> None:
    settings = LocalSettings(type="local", path=tmp_path, timeout=SOON)

    assert await settings.open().put(NAME, Slow()) == 8


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The disk does not come back from a sync until this is set."""
    released = threading.Event()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        released.wait(30)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    yield released
    released.set()


async def test_a_hung_disk_costs_a_line_and_not_the_agent(
    tmp_path: Path, stuck: threading.Event
) -> None:
    storage = LocalSettings(type="local", path=tmp_path, timeout=SOON).open()

    with pytest.raises(StorageError, match="look whether its file system hangs"):
        await storage.put(NAME, BytesSource(b"snapshot"))

    assert await storage.entries() == []
    stuck.set()
    until(lambda: not list(tmp_path.iterdir()), "what was begun is taken back", within=90)


class Trickling:
    """A storage that takes and sends a few bytes again and again."""

    kind = "trickling"

    def __init__(self) -> None:
        self.ended = False

    def location(self, name: str) -> str:
        return f"/mnt/{name}"

    async def put(self, _name: str, source: UploadSource) -> int:
        position = 0
        try:
            while piece := await in_thread(partial(source.read, position, 1)):
                position += len(piece)
                await asyncio.sleep(0.02)
        finally:
            self.ended = True
        return position

    async def entries(self) -> list[Entry]:
        return []

    async def read(self, _name: str) -> AsyncIterator[bytes]:
        try:
            while True:
                await asyncio.sleep(0.02)
                yield b"x"
        finally:
            self.ended = True

    async def delete(self, _name: str) -> None: ...

    async def sweep(self, _leftovers: Leftovers) -> int:
        return 0


class Full(Trickling):
    """A storage that lists more than anybody needs."""

    async def entries(self) -> list[Entry]:
        return [Entry(str(number), 1) for number in range(60)]


async def test_a_list_that_is_too_long_is_told() -> None:
    assert len(await TimeoutStorage(Full(), SOON, max_objects=60).entries()) == 60
    with pytest.raises(StorageError, match="cannot list /mnt/: there are more than 50 objects"):
        await TimeoutStorage(Full(), SOON, max_objects=50).entries()


class Listing(Hanging):
    """A storage that lists in one of several ways, and counts how often it was asked to."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.asked = 0

    async def entries(self) -> list[Entry]:
        self.asked += 1
        match self.way:
            case "hangs":
                await asyncio.sleep(3600)
            case "has no end":
                raise ListTooLong("there are more than 1 objects")
            case "is too long":
                return [Entry("a", 1), Entry("b", 1)]
            case "fails":
                raise StorageUnavailable("try again")
        return [Entry("a", 1)]


def set_clock(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    monkeypatch.setattr(timeout, "time", SimpleNamespace(monotonic=lambda: now))


@pytest.mark.parametrize("way", ["hangs", "has no end", "is too long"])
async def test_a_list_that_was_given_up_is_not_begun_anew_in_the_same_run(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Listing(way)
    storage = TimeoutStorage(inner, SOON, max_objects=1)
    with pytest.raises(StorageError) as first:
        await storage.entries()
    now = time.monotonic()
    set_clock(monkeypatch, now - 3600)  # however slow this host is

    with pytest.raises(StorageError) as second:
        await storage.entries()

    assert str(second.value) == str(first.value)
    with pytest.raises(StorageError, match=re.escape(str(first.value))):
        await storage.sweep(Leftovers())
    assert inner.asked == 1


@pytest.mark.parametrize("way", ["hangs", "has no end", "is too long"])
async def test_a_list_that_was_given_up_is_asked_for_again_in_the_next_run(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Listing(way)
    storage = TimeoutStorage(inner, SOON, max_objects=1)
    with pytest.raises(StorageError):
        await storage.entries()
    inner.way = "is sound"
    now = time.monotonic()
    set_clock(monkeypatch, now + 3600)

    for _ in range(2):
        assert await storage.entries() == [Entry("a", 1)]
    assert inner.asked == 3


async def test_a_list_that_failed_at_once_is_asked_for_at_the_next_need() -> None:
    inner = Listing("fails")
    storage = TimeoutStorage(inner, SOON, max_objects=1)
    with pytest.raises(StorageError):
        await storage.entries()
    inner.way = "is sound"

    assert await storage.entries() == [Entry("a", 1)]


async def test_an_object_store_that_hangs_while_it_lists_is_told() -> None:
    with RawServer(lambda _: iter([60.0])) as server:
        settings = S3Settings(
            type="s3", bucket="b-b", endpoint=server.address, region="r", prefix="p/",
            access_key_id=Secret("a"), secret_access_key=Secret("b"),
        )  # fmt: skip
        with pytest.raises(StorageError, match="s3://b-b/p/ has not answered for 300ms"):
            await TimeoutStorage(settings.open(), timedelta(milliseconds=300)).entries()


@pytest.mark.parametrize(
    "verb", [lambda storage: storage.put(NAME, BytesSource(bytes(10_000))), everything]
)
async def test_a_storage_that_trickles_is_given_up_and_stops(
    verb: Callable[[Storage], Awaitable[object]],
) -> None:
    trickling = Trickling()
    with pytest.raises(StorageError, match="slower than min_rate, 1000 bytes a second"):
        await verb(TimeoutStorage(trickling, SOON, min_rate=1000))
    assert trickling.ended


async def test_a_slow_server_is_not_taken_for_a_slow_storage() -> None:
    assert (
        await TimeoutStorage(Trickling(), timedelta(seconds=2), min_rate=1 << 30).put(NAME, Slow())
        == 8
    )


async def test_what_nobody_waits_for_any_more_is_cut_off() -> None:
    before = set(threading.enumerate())
    with RawServer(lambda _: iter([60.0])) as server:
        http = Http(timedelta(seconds=60), TlsOptions())
        ask = partial(http.ask, "ask", "GET", server.address, {})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await in_thread(ask, abandon=True)
        await asyncio.sleep(0.05)
        until(
            lambda: set(threading.enumerate()) <= before | set(server._threads),
            "the end of the thread",
            within=60,
        )


async def test_an_upload_that_is_given_up_is_cut_off_and_takes_back_what_it_sent() -> None:
    methods: list[str] = []

    def says(head: bytes) -> Iterator[bytes | float]:
        methods.append(head.split()[0].decode())
        return iter([60.0] if methods[-1] == "PUT" else [OK + b"Connection: close\r\n\r\n"])

    before = set(threading.enumerate())
    with RawServer(says) as server:
        settings = WebdavSettings(type="webdav", url=f"{server.address}/dav")
        with pytest.raises(StorageError, match="has not answered for 300ms"):
            await TimeoutStorage(settings.open(), timedelta(milliseconds=300)).put(
                NAME, BytesSource(b"x")
            )
        assert methods == ["PUT", "DELETE"]
        until(
            lambda: set(threading.enumerate()) <= before | set(server._threads),
            "the end of the thread",
            within=60,
        )


async def test_an_upload_to_an_object_store_that_is_given_up_lets_go_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body, "_GRACE", 0.2)
    before = asyncio.all_tasks()
    with RawServer(lambda _: iter([60.0])) as server:
        settings = S3Settings(
            type="s3", bucket="b-b", endpoint=server.address, region="r",
            access_key_id=Secret("a"), secret_access_key=Secret("b"),
        )  # fmt: skip
        storage = TimeoutStorage(settings.open(), timedelta(milliseconds=300))
        with pytest.raises(StorageError, match="has not answered for 300ms"):
            await storage.put(NAME, BytesSource(bytes(1 << 20)))
        await asyncio.sleep(0.5)
        assert asyncio.all_tasks() == before
