"""Limits the upload rate of any storage."""

from __future__ import annotations

import time
from collections.abc import Callable

from raft_snapshot_agent.storage.base import Storage, UploadSource
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingSource, ForwardingStorage

_STEPS_A_SECOND = 4
_LEAST = 4096
"""Least bytes of a step."""


class RateLimitedStorage(ForwardingStorage):
    """A storage with a limit of uploaded bytes per second; downloads are not limited."""

    def __init__(self, storage: Storage, bandwidth: int) -> None:
        """Wrap a storage.

        Arguments:
            storage: The wrapped storage.
            bandwidth: In bytes per second.
        """
        super().__init__(storage)
        self._bandwidth = bandwidth

    async def put(self, name: str, source: UploadSource) -> int:
        return await self._storage.put(name, PacedSource(source, self._bandwidth))


class PacedSource(ForwardingSource):
    """A source read no faster than allowed; a hard link transfers no bytes."""

    def __init__(
        self,
        source: UploadSource,
        bandwidth: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(source)
        self._bandwidth = bandwidth
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0

    def read(self, position: int, size: int) -> bytes:
        step = max(_LEAST, self._bandwidth // _STEPS_A_SECOND)
        piece = self._source.read(position, min(size, step))
        now = self._clock()
        # Unused bandwidth is not saved up for a burst.
        start = max(now, self._free_at)
        self._free_at = start + len(piece) / self._bandwidth
        if start > now:
            self._sleep(start - now)
        return piece
