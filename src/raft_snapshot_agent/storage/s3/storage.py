"""Snapshots as objects of a store that speaks S3; what is not complete is never visible."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from raft_snapshot_agent.errors import ConfigError, LoginRefused, StorageError
from raft_snapshot_agent.storage.base import Entry, UploadSource
from raft_snapshot_agent.storage.http.body import in_stoppable_thread
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.names import require_plain_name
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.s3.client import S3Client
    from raft_snapshot_agent.storage.s3.demands import Demands

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class S3Location:
    """Where the objects lie, as an operator would write it."""

    bucket: str
    prefix: str
    """Empty, or with a slash at its end."""
    kind: str = "aws"
    """The word for it in the log."""

    @property
    def folder(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


class S3Storage:
    """The four verbs and the broom, of whatever yields a client."""

    def __init__(
        self, location: S3Location, connect: Callable[[], S3Client], demands: Demands
    ) -> None:
        """Prepare; nothing is contacted.

        Arguments:
            location: Where the snapshots lie.
            connect: Makes a client, with the credentials as they are now.
            demands: What the store turned out to need.
        """
        self._location = location
        self._connect = connect
        self._demands = demands

    @property
    def kind(self) -> str:
        return self._location.kind

    def location(self, name: str) -> str:
        return f"{self._location.folder}{name}"

    async def put(self, name: str, source: UploadSource) -> int:
        from raft_snapshot_agent.storage.s3.upload import upload

        key, doing = self._key(name), self._doing(f"store {name}")

        def work(stop: Event) -> int:
            return upload(self._connect(), doing, key, source, stop)

        async def put() -> int:
            with self._failing(doing):
                return await in_stoppable_thread(work)

        return await self._heeded(put)

    async def entries(self) -> list[Entry]:
        return await self._blocking(self._entries, "list snapshots")

    async def read(self, name: str) -> AsyncIterator[bytes]:
        from raft_snapshot_agent.storage.http.download import ObjectDownload

        key, doing = self._key(name), self._doing(f"read {name}")
        download = await self._blocking(
            lambda client, doing: ObjectDownload(client, doing, key, "etag"), f"read {name}"
        )
        try:
            with self._failing(doing):
                while piece := await in_thread(download.read_on, abandon=True):
                    yield piece
        finally:
            download.close()

    async def delete(self, name: str) -> None:
        key = self._key(name)
        await self._blocking(lambda client, doing: client.delete(doing, key), f"delete {name}")

    async def sweep(self, leftovers: Leftovers) -> int:
        from raft_snapshot_agent.storage.s3 import multipart

        def swept(client: S3Client, _doing: str) -> int:
            uploads = multipart.Uploads(client)
            return multipart.sweep(uploads, self._location.prefix, leftovers, datetime.now(UTC))

        return await self._blocking(swept, "sweep")

    def _entries(self, client: S3Client, doing: str) -> list[Entry]:
        from raft_snapshot_agent.storage.s3.listing import list_objects

        prefix = self._location.prefix
        listed = list_objects(client, doing, prefix)
        return [Entry(one.key.removeprefix(prefix), one.size) for one in listed]

    async def _blocking(self, work: Callable[[S3Client, str], T], verb: str) -> T:
        doing = self._doing(verb)
        with self._failing(doing):
            return await in_thread(lambda: work(self._connect(), doing), abandon=True)

    async def _heeded(self, put: Callable[[], Awaitable[T]]) -> T:
        """Ask once more where the store said what it needs and that can be sent."""
        try:
            return await put()
        except StorageError as error:
            if not self._demands.heed(error):
                raise
        return await put()

    @contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        """Tell a configuration that cannot be used as a failure of this storage alone."""
        try:
            yield
        except ConfigError as error:
            raise LoginRefused(f"{doing}: {error.message}", hint=error.hint) from error

    def _doing(self, verb: str) -> str:
        return f"cannot {verb} in {self._location.folder}"

    def _key(self, name: str) -> str:
        where = f"s3://{self._location.bucket}"
        return self._location.prefix + require_plain_name(name, where)
