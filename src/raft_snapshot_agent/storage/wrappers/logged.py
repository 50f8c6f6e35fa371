"""Logs the calls of a storage at level `debug`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from raft_snapshot_agent.observe.debug_log import log_request
from raft_snapshot_agent.storage.base import Entry, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingStorage


class LoggedStorage(ForwardingStorage):
    """A storage whose calls are logged."""

    async def put(self, name: str, source: UploadSource) -> int:
        with log_request("put", self.location(name)):
            return await self._storage.put(name, source)

    async def entries(self) -> list[Entry]:
        with log_request("list", self.folder):
            return await self._storage.entries()

    async def read(self, name: str) -> AsyncIterator[bytes]:
        async with aclosing(self._open(name)) as stream:
            with log_request("read", self.location(name)):
                first = await anext(stream, b"")
            if first:
                yield first
            async for piece in stream:
                yield piece

    async def delete(self, name: str) -> None:
        with log_request("delete", self.location(name)):
            await self._storage.delete(name)

    async def sweep(self, leftovers: Leftovers) -> int:
        with log_request("sweep", self.folder):
            return await self._storage.sweep(leftovers)
