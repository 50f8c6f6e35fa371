"""Snapshots that grow as a test wants them to."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.errors import AgentError, Stopped
from raft_snapshot_agent.storage.base import Storage, UploadSource
from raft_snapshot_agent.transfer.spool import Spool

MIB = 1 << 20
NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"


def bytes_of(size: int) -> bytes:
    """Make bytes that repeat nowhere a part could end."""
    block = hashlib.shake_256(str(size).encode()).digest(1_000_003)
    return (block * (size // len(block) + 1))[:size]


class Unlinkable:
    """A source that has to be copied."""

    def __init__(self, source: UploadSource) -> None:
        self._source = source
        self.follow, self.read = source.follow, source.read

    def link(self, _target: Path) -> bool:
        return False


class Watched:
    """A spool that tells how far its follower has come."""

    def __init__(self, folder: Path, run_id: str = "0a1b2c") -> None:
        self.spool = Spool.create(folder, run_id)
        self.position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()

    def grow(self, content: bytes) -> None:
        for start in range(0, len(content), MIB):
            self.spool.write(content[start : start + MIB])

    def accept(self) -> None:
        self.spool.complete()
        self.spool.accept(Snapshot(ArchiveMeta(4711, 3, 1), 1, "sha"))

    def fail(self, error: AgentError) -> None:
        self.spool.fail(error)

    async def reached(self, position: int) -> None:
        """Wait until the follower asks for what comes after `position`."""
        with anyio.fail_after(30):
            while self.position < position:  # noqa: ASYNC110 - a thread moves it
                await anyio.sleep(0.01)

    def link(self, target: Path) -> bool:
        return self.spool.link(target)

    def follow(self, position: int) -> int:
        self.position = max(self.position, position)
        return self.spool.follow(position)

    def read(self, position: int, size: int) -> bytes:
        self.position = max(self.position, position)
        return self.spool.read(position, size)


def whole(folder: Path, content: bytes, run_id: str = "0a1b2c") -> Watched:
    """Make a snapshot that is there and verified already."""
    source = Watched(folder, run_id)
    source.grow(content)
    source.accept()
    return source


@asynccontextmanager
async def beside(
    source: Watched, work: Callable[..., Coroutine[Any, Any, object]], *args: Any
) -> AsyncIterator[TaskGroup]:
    """Run `work`, which follows `source`; when the test fails, so does the source."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, *args)
        try:
            yield tasks
        except BaseException:
            source.fail(Stopped("the test failed"))
            raise


async def put_of(storage: Storage, folder: Path, size: int) -> int:
    """Store that many bytes under `NAME`, spooled in `folder`."""
    with whole(folder, bytes_of(size)) as source:
        return await storage.put(NAME, source)


async def content(storage: Storage, name: str = NAME) -> bytes:
    return b"".join([piece async for piece in storage.read(name)])
