"""Giving up on a storage that does not answer: a hung mount must not hang the agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio

from raft_snapshot_agent.core.duration import format_duration
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.base import Entry, Source, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_LOOKS = 20
"""How often within its time-out a storage is looked at."""


class Watched:
    """A storage whose every step has to end in time; the storage must be fit to be cancelled."""

    def __init__(self, storage: Storage, timeout: timedelta) -> None:
        """Wrap a storage.

        Arguments:
            storage: Does the work.
            timeout: For one step: a listing, a deletion, taking one more piece of a snapshot.
        """
        self._storage = storage
        self._timeout = timeout

    @property
    def kind(self) -> str:
        return self._storage.kind

    def location(self, name: str) -> str:
        return self._storage.location(name)

    async def put(self, name: str, source: Source) -> int:
        watched = WatchedSource(source)
        with anyio.CancelScope() as scope:
            watch = asyncio.ensure_future(self._watch(watched, scope))
            try:
                return await self._storage.put(name, watched)
            finally:
                watch.cancel()
        raise self._hung(name)

    async def entries(self) -> list[Entry]:
        with self._in_time(""):
            return await self._storage.entries()

    async def read(self, name: str) -> AsyncIterator[bytes]:
        async with aclosing(cast("AsyncGenerator[bytes]", self._storage.read(name))) as stream:
            while True:
                with self._in_time(name):
                    piece = await anext(stream, None)
                if piece is None:
                    return
                yield piece

    async def delete(self, name: str) -> None:
        with self._in_time(name):
            await self._storage.delete(name)

    async def sweep(self, leftovers: Leftovers) -> int:
        with self._in_time(""):
            return await self._storage.sweep(leftovers)

    async def _watch(self, source: WatchedSource, scope: anyio.CancelScope) -> None:
        seconds = self._timeout.total_seconds()
        while source.idle() < seconds:  # noqa: ASYNC110 - idleness is no event
            await anyio.sleep(seconds / _LOOKS)
        scope.cancel()

    @contextmanager
    def _in_time(self, name: str) -> Iterator[None]:
        try:
            with anyio.fail_after(self._timeout.total_seconds()):
                yield
        except TimeoutError:
            raise self._hung(name) from None

    def _hung(self, name: str) -> StorageError:
        return StorageError(
            f"{self._storage.location(name)} has not answered for {format_duration(self._timeout)}",
            hint="look whether its file system hangs; where it is only slow, raise timeout",
        )


class WatchedSource:
    """A source that knows for how long nobody has asked it for more."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._asked = 0
        self._touched = time.monotonic()

    def idle(self) -> float:
        """Seconds since the storage got its last piece; none while it waits for the next."""
        return 0.0 if self._asked else time.monotonic() - self._touched

    def link(self, target: Path) -> bool:
        return self._source.link(target)

    def follow(self, position: int) -> int:
        with self._asking():
            return self._source.follow(position)

    def read(self, position: int, size: int) -> bytes:
        with self._asking():
            return self._source.read(position, size)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        self._asked += 1
        try:
            yield
        finally:
            self._touched = time.monotonic()
            self._asked -= 1
