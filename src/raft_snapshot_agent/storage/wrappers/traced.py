"""Logging what is asked of a storage, at the level `debug`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from raft_snapshot_agent.observe.trace import traced
from raft_snapshot_agent.storage.base import Entry, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingStorage


class TracedStorage(ForwardingStorage):
    """A storage of which each request is logged."""

    async def put(self, name: str, source: UploadSource) -> int:
        with traced("put", self.location(name)):
            return await self._storage.put(name, source)

    async def entries(self) -> list[Entry]:
        with traced("list", self.folder):
            return await self._storage.entries()

    async def read(self, name: str) -> AsyncIterator[bytes]:
        async with aclosing(self._open(name)) as stream:
            with traced("read", self.location(name)):
                first = await anext(stream, b"")
            if first:
                yield first
            async for piece in stream:
                yield piece

    async def delete(self, name: str) -> None:
        with traced("delete", self.location(name)):
            await self._storage.delete(name)

    async def sweep(self, leftovers: Leftovers) -> int:
        with traced("sweep", self.folder):
            return await self._storage.sweep(leftovers)
