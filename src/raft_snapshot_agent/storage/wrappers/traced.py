"""Logging what is asked of a storage, at the level `debug`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from raft_snapshot_agent.observe.trace import trace_request
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Traced:
    """A storage of which each request is logged."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def kind(self) -> str:
        return self._storage.kind

    @property
    def _folder(self) -> str:
        return self.location("-").removesuffix("-")

    def location(self, name: str) -> str:
        return self._storage.location(name)

    async def put(self, name: str, source: UploadSource) -> int:
        with trace_request("put", self.location(name)):
            return await self._storage.put(name, source)

    async def entries(self) -> list[Entry]:
        with trace_request("list", self._folder):
            return await self._storage.entries()

    async def read(self, name: str) -> AsyncIterator[bytes]:
        stream = cast("AsyncGenerator[bytes]", self._storage.read(name))
        async with aclosing(stream):
            with trace_request("read", self.location(name)):
                first = await anext(stream, b"")
            if first:
                yield first
            async for piece in stream:
                yield piece

    async def delete(self, name: str) -> None:
        with trace_request("delete", self.location(name)):
            await self._storage.delete(name)

    async def sweep(self, leftovers: Leftovers) -> int:
        with trace_request("sweep", self._folder):
            return await self._storage.sweep(leftovers)
