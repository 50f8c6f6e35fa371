"""Trying again what may pass, round any storage."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

import stamina

from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.observe.trace import note
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingStorage

T = TypeVar("T")

_LONGEST = 8
"""Waits grow to this multiple of the first."""

# By itself stamina writes to structlog and counts with prometheus_client.
stamina.instrumentation.set_on_retry_hooks(())


class RetryingStorage(ForwardingStorage):
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
        super().__init__(storage)
        self._attempts = attempts
        self._caller = stamina.AsyncRetryingCaller(
            attempts=attempts,
            timeout=None,
            wait_initial=wait,
            wait_max=wait * _LONGEST,
            wait_jitter=wait,
        ).on(StorageUnavailable)

    async def put(self, name: str, source: UploadSource) -> int:
        return await self._retry("put", name, lambda: self._storage.put(name, source))

    async def entries(self) -> list[Entry]:
        return await self._retry("list", "", self._storage.entries)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        first, rest = await self._retry("read", name, lambda: self._begin(name))
        async with aclosing(rest):
            if first:
                yield first
            async for piece in rest:
                yield piece

    async def delete(self, name: str) -> None:
        await self._retry("delete", name, lambda: self._storage.delete(name))

    async def sweep(self, leftovers: Leftovers) -> int:
        return await self._retry("sweep", "", lambda: self._storage.sweep(leftovers))

    async def _begin(self, name: str) -> tuple[bytes, AsyncGenerator[bytes]]:
        """Open a stream as far as its first piece: once bytes were handed on it is too late."""
        stream = self._open(name)
        return await anext(stream, b""), stream

    async def _retry(self, verb: str, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do it, and again while its failure may pass; note each time that it is done again."""
        numbers = itertools.count(1)

        async def attempt() -> T:
            number = next(numbers)
            try:
                return await work()
            except StorageUnavailable as error:
                if number < self._attempts:
                    where = self.location(name) if name else self.folder
                    tried = f"{number} of {self._attempts}"
                    note(f"retrying {verb} {where}", storage=self.kind, tried=tried, error=error)
                raise

        return await self._caller(attempt)
