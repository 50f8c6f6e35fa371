"""A snapshot on its way into an object store's library, piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable

from anyio import move_on_after

from raft_snapshot_agent.errors import Stopped
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.threads import in_thread

_STEP = 4 << 20
_AT_LAST = 120.0
"""Seconds after which one that nobody waits for is ended, whatever becomes of what it sent."""
_GRACE = 5.0
"""Seconds that a cancelled upload gets to take back what it sent."""


class Feed:
    """The pieces of a source as they arrive, and why they ended."""

    def __init__(self, source: UploadSource) -> None:
        self._source = source
        self._stopped = False
        self.position = 0
        self.ended = False
        self.error: BaseException | None = None

    def stop(self) -> None:
        """Fail at the next piece."""
        self._stopped = True

    async def first(self, size: int) -> deque[bytes]:
        """Gather pieces until there are more than `size` bytes, or all."""
        pieces: deque[bytes] = deque()
        while self.position <= size and (piece := await self._piece()):
            pieces.append(piece)
        return pieces

    async def rest(self, first: deque[bytes]) -> AsyncIterator[bytes]:
        """Go on from the `first` pieces, giving them away too."""
        while first:
            yield first.popleft()
        while piece := await self._piece():
            yield piece

    async def _piece(self) -> bytes:
        try:
            piece = await in_thread(self._read)
        except BaseException as error:
            self.error = error
            raise
        self.position += len(piece)
        self.ended = not piece
        return piece

    def _read(self) -> bytes:
        piece = self._source.read(self.position, _STEP)
        if self._stopped:
            raise Stopped("the upload was cancelled")
        return piece


async def finished(upload: Awaitable[object], feed: Feed) -> None:
    """Wait for an upload to end; one that is cancelled gets the time to take back what it sent."""
    # A cancelled upload leaves its parts pending for ever: it has to end by itself.
    future = asyncio.ensure_future(upload)
    try:
        await asyncio.wait({future})
    except asyncio.CancelledError:
        feed.stop()
        with move_on_after(_GRACE, shield=True):
            await asyncio.wait({future})
        # It may still take back what it sent; then it lets go of its memory and connections.
        asyncio.get_running_loop().call_later(_AT_LAST, future.cancel)
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise
    if error := future.exception():
        raise feed.error or error
