"""A storage that writes one snapshot to a pipe and keeps nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import BinaryIO

from raft_snapshot_agent.errors import SnapshotNotFound, StorageError, reason_of
from raft_snapshot_agent.storage.base import Entry, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.threads import in_thread

_STEP = 1 << 20


class PipeStorage:
    """Standard output. Written bytes cannot be taken back, so it waits for verification."""

    kind = "pipe"

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def location(self, name: str) -> str:
        return "standard output" if name == "-" else name

    async def put(self, _name: str, source: UploadSource) -> int:
        # A stalled reader can block this thread without limit.
        return await in_thread(lambda: self._copy(source), abandon=True)

    async def entries(self) -> list[Entry]:
        return []

    async def read(self, name: str) -> AsyncIterator[bytes]:
        raise SnapshotNotFound(f"a pipe keeps no {name}")
        yield b""

    async def delete(self, name: str) -> None:
        """Do nothing: a pipe keeps nothing."""

    async def sweep(self, _leftovers: Leftovers) -> int:
        return 0

    def _copy(self, source: UploadSource) -> int:
        length = 0
        while (reached := source.follow(length)) > length:
            length = reached
        position = 0
        try:
            while position < length:
                # Not through the file object: an abandoned thread would keep its lock.
                position += os.write(self._pipe.fileno(), source.read(position, _STEP))
        except OSError as error:
            raise StorageError(
                f"cannot write to standard output: {reason_of(error)}",
                hint="the reading end is gone or full",
            ) from error
        return length
