"""A storage whose snapshots are objects, visible only when they are complete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Protocol, TypeVar

from raft_snapshot_agent.errors import ConfigError, LoginRefused, StorageError
from raft_snapshot_agent.storage.base import Entry, UploadSource
from raft_snapshot_agent.storage.http.body import in_stoppable_thread
from raft_snapshot_agent.storage.http.download import ObjectDownload, ReadingClient
from raft_snapshot_agent.storage.http.recent import RecentClient
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.names import require_plain_name
from raft_snapshot_agent.threads import in_thread

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """Location of the objects, as an operator would write it."""

    url: str
    """URL of the bucket, such as `s3://backups`."""
    prefix: str
    """Prefix: empty, or with a slash at the end."""
    kind: str
    """Type in log messages."""
    version: str = "etag"
    """Header that identifies a version of an object."""

    @property
    def folder(self) -> str:
        return f"{self.url}/{self.prefix}"


class ListedObject(Protocol):
    """One object as the store lists it."""

    @property
    def key(self) -> str:
        """Its name in the bucket."""

    @property
    def size(self) -> int:
        """Its bytes."""


class DeletingClient(ReadingClient, Protocol):
    """Reads and removes objects of one bucket."""

    def delete(self, doing: str, key: str) -> None:
        """Remove an object; what is gone is no error."""


class BucketObjects(Protocol):
    """The objects of one bucket, with the credentials as they are now."""

    @property
    def client(self) -> DeletingClient:
        """What reads and removes them."""

    def upload(self, doing: str, key: str, source: UploadSource, stop: Event) -> int:
        """Store a source while it grows; set `stop` to cancel.

        Returns:
            Bytes stored, as reported by the store if that is permitted.
        """

    def list_objects(self, doing: str, prefix: str) -> Iterable[ListedObject]:
        """List the objects directly below a prefix."""

    def sweep(self, prefix: str, leftovers: Leftovers) -> int:
        """Remove incomplete objects of crashed runs; return their number."""


class BucketStorage:
    """The five operations of a storage, for any store that has a client."""

    def __init__(
        self,
        location: BucketLocation,
        connect: Callable[[], BucketObjects],
        adapt_to: Callable[[StorageError], bool] = lambda _: False,
    ) -> None:
        """Store the arguments; no I/O.

        Arguments:
            location: Location of the snapshots.
            connect: Returns a client with the present credentials.
            adapt_to: Adapts to an error of the store; returns whether to retry.
        """
        self._location = location
        self._connect = connect
        self._recent = RecentClient(connect)
        self._adapt_to = adapt_to

    @property
    def kind(self) -> str:
        return self._location.kind

    def location(self, name: str) -> str:
        return f"{self._location.folder}{name}"

    async def put(self, name: str, source: UploadSource) -> int:
        key, doing = self._key(name), self._doing(f"store {name}")

        def work(stop: Event) -> int:
            return self._connect().upload(doing, key, source, stop)

        async def put() -> int:
            with self._failing(doing):
                return await in_stoppable_thread(work)

        return await self._put_adapted(put)

    async def entries(self) -> list[Entry]:
        return await self._blocking(self._entries, "list snapshots", anew=True)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        key, doing = self._key(name), self._doing(f"read {name}")
        version = self._location.version

        def begin(objects: BucketObjects, doing: str) -> tuple[ObjectDownload, bytes]:
            download = ObjectDownload(objects.client, doing, key, version)
            try:
                return download, download.read_on()  # all of a manifest
            except BaseException:
                download.close()
                raise

        download, piece = await self._blocking(begin, f"read {name}")
        try:
            with self._failing(doing):
                while piece:
                    yield piece
                    if download.is_whole:
                        return
                    piece = await in_thread(download.read_on, abandon=True)
        finally:
            download.close()

    async def delete(self, name: str) -> None:
        key = self._key(name)
        await self._blocking(
            lambda objects, doing: objects.client.delete(doing, key), f"delete {name}"
        )

    async def sweep(self, leftovers: Leftovers) -> int:
        prefix = self._location.prefix
        return await self._blocking(
            lambda objects, _: objects.sweep(prefix, leftovers), "sweep", anew=True
        )

    def _entries(self, objects: BucketObjects, doing: str) -> list[Entry]:
        prefix = self._location.prefix
        listed = objects.list_objects(doing, prefix)
        return [Entry(one.key.removeprefix(prefix), one.size) for one in listed]

    async def _blocking(
        self, work: Callable[[BucketObjects, str], T], verb: str, *, anew: bool = False
    ) -> T:
        doing = self._doing(verb)
        with self._failing(doing):
            return await self._recent.use(lambda objects: work(objects, doing), anew=anew)

    async def _put_adapted(self, put: Callable[[], Awaitable[T]]) -> T:
        """Retry once if the store's error names an option that can be sent."""
        try:
            return await put()
        except StorageError as error:
            if not self._adapt_to(error):
                raise
        return await put()

    @contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        """Map an invalid configuration to a failure of this storage only; then connect anew."""
        try:
            yield
        except ConfigError as error:
            raise LoginRefused(f"{doing}: {error.message}", hint=error.hint) from error
        except StorageError:
            self._recent.drop()
            raise

    def _doing(self, verb: str) -> str:
        return f"cannot {verb} in {self._location.folder}"

    def _key(self, name: str) -> str:
        return self._location.prefix + require_plain_name(name, self._location.url)
