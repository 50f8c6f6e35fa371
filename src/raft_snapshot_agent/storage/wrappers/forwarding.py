"""Forwards all methods to a wrapped object; a wrapper overrides those that it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class ForwardingStorage:
    """A storage that forwards every method to another storage."""

    def __init__(self, storage: Storage) -> None:
        """Wrap a storage.

        Arguments:
            storage: The wrapped storage.
        """
        self._storage = storage

    @property
    def kind(self) -> str:
        return self._storage.kind

    @property
    def folder(self) -> str:
        """The address of all objects."""
        return self.location("-").removesuffix("-")

    def location(self, name: str) -> str:
        return self._storage.location(name)

    async def put(self, name: str, source: UploadSource) -> int:
        return await self._storage.put(name, source)

    async def entries(self) -> list[Entry]:
        return await self._storage.entries()

    def read(self, name: str) -> AsyncIterator[bytes]:
        return self._storage.read(name)

    async def delete(self, name: str) -> None:
        await self._storage.delete(name)

    async def sweep(self, leftovers: Leftovers) -> int:
        return await self._storage.sweep(leftovers)

    def _open(self, name: str) -> AsyncGenerator[bytes]:
        """Open the stream of an object; the caller must close it."""
        return cast("AsyncGenerator[bytes]", self._storage.read(name))


class ForwardingSource:
    """A source that forwards every method to another source."""

    def __init__(self, source: UploadSource) -> None:
        """Wrap a source.

        Arguments:
            source: The wrapped source.
        """
        self._source = source

    def link(self, target: Path) -> bool:
        return self._source.link(target)

    def follow(self, position: int) -> int:
        return self._source.follow(position)

    def read(self, position: int, size: int) -> bytes:
        return self._source.read(position, size)
