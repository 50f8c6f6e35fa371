"""Adds time-outs to a storage, so that a hanging mount does not block the agent."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import anyio

from raft_snapshot_agent.core.duration import format_duration
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.observe.progress import touch
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.limits import ListTooLong, too_many
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingSource, ForwardingStorage

_LOOK_EVERY = 1.0
_LOOKS = 20
"""Number of checks per time-out."""


class StorageSilent(StorageError):
    """A storage has not answered within its time-out."""


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """Why a listing was aborted, and when it may be tried again, by the monotonic clock."""

    message: str
    hint: str
    until: float


class TimeoutStorage(ForwardingStorage):
    """A storage whose every step has a time limit; its methods must be cancellable."""

    def __init__(
        self,
        storage: Storage,
        timeout: timedelta,
        *,
        min_rate: int | None = None,
        max_objects: int | None = None,
        hint: str = "look whether its file system hangs; where it is only slow, raise timeout",
    ) -> None:
        """Wrap a storage.

        Arguments:
            storage: The wrapped storage.
            timeout: Time limit of one step: a listing, a deletion, one more piece of a snapshot.
            min_rate: Least bytes per second of transfers, after an allowance of one `timeout`.
            max_objects: Longest accepted listing.
            hint: Hint of the time-out error.
        """
        super().__init__(storage)
        self._timeout = timeout
        self._min_rate = min_rate
        self._most = max_objects
        self._hint = hint
        self._given_up: _GivenUp | None = None

    async def put(self, name: str, source: UploadSource) -> int:
        watched = WatchedSource(source)
        with anyio.CancelScope() as scope:
            watch = asyncio.ensure_future(self._watch(watched, scope))
            try:
                return await self._storage.put(name, watched)
            finally:
                watch.cancel()
        raise self._describe_slowness(name) if watched.too_slow else self._describe_silence(name)

    async def entries(self) -> list[Entry]:
        """List the objects; after an aborted listing, fail at once for a while.

        A run lists several times, and an endless listing would cost a time-out each time.
        """
        self._refuse_again()
        try:
            with self._limit(""):
                found = await self._storage.entries()
            if self._most is not None and len(found) > self._most:
                raise too_many(f"cannot list {self._locate('')}", self._most)
        except (StorageSilent, ListTooLong) as error:
            until = time.monotonic() + self._seconds
            self._given_up = _GivenUp(error.message, error.hint, until)
            raise
        self._given_up = None
        return found

    async def read(self, name: str) -> AsyncIterator[bytes]:
        left = self._seconds
        async with aclosing(self._open(name)) as stream:
            while True:
                began = time.monotonic()
                with self._limit(name, min(left, self._seconds)):
                    piece = await anext(stream, None)
                if piece is None:
                    return
                left += self._seconds_for(len(piece)) - (time.monotonic() - began)
                yield piece

    async def delete(self, name: str) -> None:
        with self._limit(name):
            await self._storage.delete(name)

    async def sweep(self, leftovers: Leftovers) -> int:
        """Sweep, unless a listing, with which it begins, was just aborted."""
        self._refuse_again()
        with self._limit(""):
            return await self._storage.sweep(leftovers)

    def _refuse_again(self) -> None:
        if self._given_up is not None and time.monotonic() < self._given_up.until:
            raise StorageError(self._given_up.message, hint=self._given_up.hint)

    async def _watch(self, source: WatchedSource, scope: anyio.CancelScope) -> None:
        pause = min(self._seconds / _LOOKS, _LOOK_EVERY)
        while source.idle() < self._seconds and not source.too_slow:
            await anyio.sleep(pause)
            source.too_slow = source.busy() > self._seconds + self._seconds_for(source.reached)
        scope.cancel()

    @property
    def _seconds(self) -> float:
        return self._timeout.total_seconds()

    def _seconds_for(self, size: int) -> float:
        """Return the seconds allowed for a number of bytes."""
        return math.inf if self._min_rate is None else size / self._min_rate

    @contextmanager
    def _limit(self, name: str, seconds: float | None = None) -> Iterator[None]:
        seconds = self._seconds if seconds is None else max(seconds, 0)
        try:
            with anyio.fail_after(seconds):
                yield
        except TimeoutError:
            silent = seconds == self._seconds
            error = self._describe_silence(name) if silent else self._describe_slowness(name)
            raise error from None

    def _locate(self, name: str) -> str:
        """Return the address of an object, or of all objects for an empty name."""
        return self.location(name) if name else self.folder

    def _describe_slowness(self, name: str) -> StorageError:
        return StorageError(
            f"{self._locate(name)}: the store is slower than min_rate,"
            f" {self._min_rate} bytes a second",
            hint=self._hint,
        )

    def _describe_silence(self, name: str) -> StorageSilent:
        return StorageSilent(
            f"{self._locate(name)} has not answered for {format_duration(self._timeout)}",
            hint=self._hint,
        )


class WatchedSource(ForwardingSource):
    """A source that measures how long the storage has requested nothing."""

    def __init__(self, source: UploadSource) -> None:
        super().__init__(source)
        self._asked = 0
        self._touched = self._began = time.monotonic()
        self._waited = 0.0
        self.too_slow = False
        self.reached = 0
        """The furthest position that was read."""

    def idle(self) -> float:
        """Seconds since the storage got its last piece; 0 while it waits for the next."""
        return 0.0 if self._asked else time.monotonic() - self._touched

    def busy(self) -> float:
        """Seconds spent by the storage, without the waits for the source."""
        now = time.monotonic()
        asking = now - self._touched if self._asked else 0.0
        return now - self._began - self._waited - asking

    def follow(self, position: int) -> int:
        with self._count_asking():
            return super().follow(position)

    def read(self, position: int, size: int) -> bytes:
        with self._count_asking():
            piece = super().read(position, size)
            self.reached = max(self.reached, position + len(piece))
            return piece

    @contextmanager
    def _count_asking(self) -> Iterator[None]:
        touch()
        if not self._asked:
            self._touched = time.monotonic()
        self._asked += 1
        try:
            yield
        finally:
            touch()
            self._asked -= 1
            now = time.monotonic()
            if not self._asked:
                self._waited += now - self._touched
                self._touched = now
