from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.storage.base import Content, Entry, Source, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.local import LocalSettings
from raft_snapshot_agent.storage.watched import Watched

NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
SOON = timedelta(milliseconds=200)


class Hanging:
    """A storage that never answers."""

    kind = "hanging"

    def location(self, name: str) -> str:
        return f"/mnt/{name}"

    async def put(self, _name: str, source: Source) -> int:
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
    lambda storage: storage.put(NAME, Content(b"snapshot")),
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
        await verb(Watched(Hanging(), SOON))


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
        await storage.put(NAME, Content(b"snapshot"))

    assert await storage.entries() == []
    stuck.set()
    until(lambda: not list(tmp_path.iterdir()), "what was begun is taken back", within=20)
