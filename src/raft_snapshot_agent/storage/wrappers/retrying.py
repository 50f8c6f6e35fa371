"""Retries temporary failures of any storage."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

import stamina

from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.observe.debug_log import log_step
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingStorage

T = TypeVar("T")

_LONGEST = 8
"""Longest wait, as a multiple of the first."""

# By default stamina logs to structlog and counts with prometheus_client.
stamina.instrumentation.set_on_retry_hooks(())


class RetryingStorage(ForwardingStorage):
    """A storage whose temporary failures are retried; all others are raised at once."""

    def __init__(
        self, storage: Storage, *, attempts: int = 3, wait: timedelta = timedelta(seconds=2)
    ) -> None:
        """Wrap a storage.

        Arguments:
            storage: The wrapped storage.
            attempts: Number of attempts, including the first.
            wait: Wait before the second attempt, doubled for each further one, with jitter.
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
        """Open a stream and read its first piece; after that, a retry is no longer possible."""
        stream = self._open(name)
        return await anext(stream, b""), stream

    async def _retry(self, verb: str, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Call `work`, and again after temporary failures; log each retry."""
        numbers = itertools.count(1)

        async def attempt() -> T:
            number = next(numbers)
            try:
                return await work()
            except StorageUnavailable as error:
                if number < self._attempts:
                    where = self.location(name) if name else self.folder
                    tried = f"{number} of {self._attempts}"
                    log_step(
                        f"retrying {verb} {where}", storage=self.kind, tried=tried, error=error
                    )
                raise

        return await self._caller(attempt)
