"""Retries temporary failures of any storage."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import anyio

from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.observe.debug_log import log_step
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingStorage

if TYPE_CHECKING:
    from stamina import BoundAsyncRetryingCaller

T = TypeVar("T")

_LONGEST = 8
"""Longest wait, as a multiple of the first."""


class RetryingStorage(ForwardingStorage):
    """A storage whose temporary failures are retried; all others are raised at once."""

    def __init__(
        self, storage: Storage, *, attempts: int = 3, wait: timedelta = timedelta(seconds=2)
    ) -> None:
        """Wrap a storage.

        Arguments:
            storage: The wrapped storage.
            attempts: Number of attempts, including the first.
            wait: Wait before the second attempt, doubled for each further one, with jitter, and
                in addition to the time for which the storage asks.
        """
        super().__init__(storage)
        self._attempts = attempts
        self._wait = wait

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
        try:
            return await work()
        except StorageUnavailable as error:
            first = error
        return await self._try_again(verb, name, work, first)

    async def _try_again(
        self, verb: str, name: str, work: Callable[[], Awaitable[T]], first: StorageUnavailable
    ) -> T:
        """Continue after the first attempt, which failed."""
        numbers = itertools.count(1)

        async def attempt() -> T:
            number = next(numbers)
            try:
                if number == 1:
                    raise first
                return await work()
            except StorageUnavailable as error:
                if number < self._attempts:
                    where = self.location(name) if name else self.folder
                    tried = f"{number} of {self._attempts}"
                    log_step(
                        f"retrying {verb} {where}", storage=self.kind, tried=tried, error=error
                    )
                    await anyio.sleep(error.pause)  # in addition to the wait below
                raise

        return await _load_caller(self._attempts, self._wait)(attempt)


def _load_caller(attempts: int, wait: timedelta) -> BoundAsyncRetryingCaller:
    """Return what waits and calls again; it is loaded only then, as most work succeeds at once."""
    import stamina

    # By default stamina logs to structlog and counts with prometheus_client.
    stamina.instrumentation.set_on_retry_hooks(())
    return stamina.AsyncRetryingCaller(
        attempts=attempts,
        timeout=None,
        wait_initial=wait,
        wait_max=wait * _LONGEST,
        wait_jitter=wait,
    ).on(StorageUnavailable)
