"""A container of OpenStack Swift, or of another store with its protocol.

A snapshot is a static large object: its segments are uploaded while it grows, hidden below
`.segments/`; the large object's manifest is stored last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.http.body import in_stoppable_thread
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.names import require_plain_name
from raft_snapshot_agent.storage.swift.options import SwiftOptions
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.swift.container import Container

T = TypeVar("T")


class SwiftSettings(SwiftOptions):
    """Snapshots in a container of OpenStack Swift.

    Missing settings are read from the OS_* environment variables that OpenStack's RC files set.
    """

    def open(self) -> Storage:
        return SwiftStorage(self)

    def check(self) -> None:
        """Check that the login is complete."""
        from raft_snapshot_agent.storage.swift.login import check_login

        check_login(self)


class SwiftStorage:
    """Snapshots as objects, visible only when they are complete."""

    kind = "swift"

    def __init__(self, settings: SwiftOptions) -> None:
        self._settings = settings

    @cached_property
    def _container(self) -> Container:
        from raft_snapshot_agent.storage.swift.container import Container

        return Container(self._settings)

    def location(self, name: str) -> str:
        return self._container.shown(self._settings.prefix + name)

    async def put(self, name: str, source: UploadSource) -> int:
        from raft_snapshot_agent.storage.swift.upload import SwiftUpload

        upload = SwiftUpload(self._container, self._key(name), int(self._settings.segment_size))
        return await in_stoppable_thread(partial(upload.run, source))

    async def entries(self) -> list[Entry]:
        prefix = self._settings.prefix
        objects = await self._blocking(self._container.listed, prefix, "/")
        return [Entry(one.key.removeprefix(prefix), one.size) for one in objects]

    async def read(self, name: str) -> AsyncIterator[bytes]:
        key = self._key(name)
        answer = await self._blocking(self._container.opened, key)
        try:
            while piece := await self._blocking(self._container.more, key, answer):
                yield piece
        finally:
            answer.close()

    async def delete(self, name: str) -> None:
        await self._blocking(self._container.delete_with_segments, self._key(name))

    async def sweep(self, leftovers: Leftovers) -> int:
        from raft_snapshot_agent.storage.swift.upload import sweep

        return await self._blocking(sweep, self._container, self._settings.prefix, leftovers)

    async def _blocking(self, work: Callable[..., T], *args: object) -> T:
        return await in_thread(partial(work, *args), abandon=True)

    def _key(self, name: str) -> str:
        where = self._container.shown(self._settings.prefix)
        return self._settings.prefix + require_plain_name(name, where)
