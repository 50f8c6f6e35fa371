"""Sending no faster than an operator allows, round any storage."""

from __future__ import annotations

import time
from collections.abc import Callable

from raft_snapshot_agent.storage.base import Storage, UploadSource
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingSource, ForwardingStorage

_STEPS_A_SECOND = 4
_LEAST = 4096
"""Bytes of a step, however slow."""


class RateLimitedStorage(ForwardingStorage):
    """A storage that is sent at most so many bytes a second; reading is not slowed down."""

    def __init__(self, storage: Storage, bandwidth: int) -> None:
        """Wrap a storage.

        Arguments:
            storage: Does the work.
            bandwidth: In bytes per second.
        """
        super().__init__(storage)
        self._bandwidth = bandwidth

    async def put(self, name: str, source: UploadSource) -> int:
        return await self._storage.put(name, PacedSource(source, self._bandwidth))


class PacedSource(ForwardingSource):
    """A source whose bytes come no faster than allowed; a second name for a file moves none."""

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
        # What a slow storage left unused is not made up for by a burst.
        start = max(now, self._free_at)
        self._free_at = start + len(piece) / self._bandwidth
        if start > now:
            self._sleep(start - now)
        return piece
