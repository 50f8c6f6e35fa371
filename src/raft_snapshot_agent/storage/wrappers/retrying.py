"""Trying again what may pass, round any storage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import cast

import stamina

from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers

_LONGEST = 8
"""Waits grow to this multiple of the first."""

# By itself stamina writes to structlog and counts with prometheus_client.
stamina.instrumentation.set_on_retry_hooks(())


class RetryingStorage:
    """A storage whose passing failures are met with patience; all others come straight out."""

    def __init__(
        self, storage: Storage, *, attempts: int = 3, wait: timedelta = timedelta(seconds=2)
    ) -> None:
        """Wrap a storage.

        Arguments:
            storage: Does the work.
            attempts: In all, the first included.
            wait: Before the second attempt, doubled for each further one, jittered.
        """
        self._storage = storage
        self._retry = stamina.AsyncRetryingCaller(
            attempts=attempts,
            timeout=None,
            wait_initial=wait,
            wait_max=wait * _LONGEST,
            wait_jitter=wait,
        ).on(StorageUnavailable)

    @property
    def kind(self) -> str:
        return self._storage.kind

    def location(self, name: str) -> str:
        return self._storage.location(name)

    async def put(self, name: str, source: UploadSource) -> int:
        return await self._retry(self._storage.put, name, source)

    async def entries(self) -> list[Entry]:
        return await self._retry(self._storage.entries)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        first, rest = await self._retry(self._begin, name)
        async with aclosing(rest):
            if first:
                yield first
            async for piece in rest:
                yield piece

    async def delete(self, name: str) -> None:
        await self._retry(self._storage.delete, name)

    async def sweep(self, leftovers: Leftovers) -> int:
        return await self._retry(self._storage.sweep, leftovers)

    async def _begin(self, name: str) -> tuple[bytes, AsyncGenerator[bytes]]:
        """Open a stream as far as its first piece: once bytes were handed on it is too late."""
        stream = cast("AsyncGenerator[bytes]", self._storage.read(name))
        return await anext(stream, b""), stream
