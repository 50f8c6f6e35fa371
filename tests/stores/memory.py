"""A storage that lasts as long as the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from raft_snapshot_agent.errors import SnapshotNotFound
from raft_snapshot_agent.storage.base import Entry, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.threads import in_thread

_STEP = 1 << 20


class MemoryStorage:
    """Snapshots in a dictionary."""

    kind = "memory"

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def location(self, name: str) -> str:
        return f"memory:{name}"

    async def put(self, name: str, source: UploadSource) -> int:
        pieces = await in_thread(lambda: list(_pieces(source)))
        self._objects[name] = b"".join(pieces)
        return len(self._objects[name])

    async def entries(self) -> list[Entry]:
        return [Entry(name, len(content)) for name, content in self._objects.items()]

    async def read(self, name: str) -> AsyncIterator[bytes]:
        content = self._objects.get(name)
        if content is None:
            raise SnapshotNotFound(f"there is no {name} in memory", hint="try list")
        for position in range(0, len(content), _STEP):
            yield content[position : position + _STEP]

    async def delete(self, name: str) -> None:
        self._objects.pop(name, None)

    async def sweep(self, leftovers: Leftovers) -> int:
        return 0


def _pieces(source: UploadSource) -> Iterator[bytes]:
    position = 0
    while piece := source.read(position, _STEP):
        position += len(piece)
        yield piece
