"""A snapshot as the body of a request, sent from a cancellable thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import TypeVar

from anyio import move_on_after

from raft_snapshot_agent.errors import Stopped, StorageError
from raft_snapshot_agent.network.deadline import Deadline, enter, within_thread
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingSource
from raft_snapshot_agent.threads import in_thread

T = TypeVar("T")

PIECE = 256 << 10
"""Bytes sent at a time; small enough that on a slow link it takes less than the time-out."""
_GRACE = 5.0
"""Seconds for a cancelled upload to remove what it sent."""

_CLEANUP_WITHIN = 60.0
"""Maximum seconds to remove what a failed upload sent; stores charge for incomplete ones."""


class Body:
    """The bytes of a source from `start`, at most `limit`."""

    def __init__(
        self, source: UploadSource, stop: Event, start: int = 0, limit: int | None = None
    ) -> None:
        self._source = source
        self._stop = stop
        self._start = start
        self._limit = limit
        self.size = 0
        """Number of bytes sent so far."""

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._source.read(self._start + self.size, self._step()):
            if self._stop.is_set():
                raise Stopped("the upload was cancelled")
            self.size += len(piece)
            yield piece
            if self.size == self._limit:
                return

    def _step(self) -> int:
        return PIECE if self._limit is None else min(PIECE, self._limit - self.size)


class StoppableSource(ForwardingSource):
    """A source that fails after its upload is cancelled."""

    def __init__(self, source: UploadSource, stop: Event) -> None:
        super().__init__(source)
        self._stop = stop

    def follow(self, position: int) -> int:
        return self._unless_stopped(super().follow(position))

    def read(self, position: int, size: int) -> bytes:
        return self._unless_stopped(super().read(position, size))

    def _unless_stopped(self, answer: T) -> T:
        if self._stop.is_set():
            raise Stopped("the upload was cancelled")
        return answer


def if_small(source: UploadSource, limit: int) -> bytes | None:
    """Return the whole source, or `None` if it is longer than `limit` bytes."""
    content = b""
    while piece := source.read(len(content), PIECE):
        content += piece
        if len(content) > limit:
            return None
    return content


def whole_length(source: UploadSource) -> int:
    """Wait for the verified end, and tell how many bytes there are."""
    length = 0
    while (reached := source.follow(length)) > length:
        length = reached
    return length


@contextmanager
def cleanup() -> Iterator[None]:
    """Remove what a failed upload left; errors are ignored, as a later sweep removes it, too.

    The upload may have failed before its cancellation arrives, which must not interrupt this.
    """
    with enter(Deadline(_CLEANUP_WITHIN)), suppress(StorageError):
        yield


async def in_stoppable_thread(work: Callable[[Event], T]) -> T:
    """Run `work` in a thread; if the caller is cancelled, set its event and wait for a moment.

    Its connections are shut down, so that it can remove what it sent.
    """
    stop, deadline = Event(), Deadline()

    def run() -> T:
        with within_thread(deadline):
            return work(stop)

    future = asyncio.ensure_future(in_thread(run, abandon=True))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        deadline.interrupt()
        with move_on_after(_GRACE, shield=True):
            await asyncio.wait({future})
        future.cancel()
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise
