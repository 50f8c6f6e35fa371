"""What the object stores have in common: everything but how they are reached."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar

from raft_snapshot_agent.core.naming import snapshot_name
from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageError,
)
from raft_snapshot_agent.network.address import ProxyAddress
from raft_snapshot_agent.storage.base import Entry, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.names import require_plain_name
from raft_snapshot_agent.storage.objectstore.errors import Hints, explain
from raft_snapshot_agent.storage.objectstore.feed import Feed, finished
from raft_snapshot_agent.storage.objectstore.memory import give_memory_back
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

_CHUNK = 1 << 20
# S3 takes 10,000 parts: 117 GiB. Three of these under way hold no more memory than four of 8 MiB.
PART = 12 << 20
_PARALLEL = 3


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """Where the objects lie."""

    kind: str
    """The word for it in the log."""
    url: str
    """Of the bucket, as an operator would write it, such as `s3://backups`."""
    prefix: str
    """Empty, or with a slash at its end."""
    hints: Hints
    storage_class: str | None = None
    """In the store's own words; its default when missing."""
    tags: Mapping[str, str] = field(default_factory=dict)
    proxy: ProxyAddress | None = None
    """The one of the configuration."""


class _Description(TypedDict, total=False):
    """What the library is told of an object beside its bytes."""

    attributes: dict[str, str]
    tags: dict[str, str]


class Connect(Protocol):
    """Makes a client, with the credentials as they are now."""

    def __call__(self, *, streaming: bool = False, writing: bool = False) -> ObjectStore:
        """Make a client.

        One for `streaming` bounds the time between bytes, not the whole; one for `writing` may
        send along what an object is to become.
        """


Sweep = Callable[[Leftovers], int]
"""Removes what dead runs left half-uploaded, and says how much that was."""
List = Callable[[str], list[Entry] | None]
"""Lists what lies below the prefix, given what fails if that does; nothing: the library has to."""
Heed = Callable[[StorageError], bool]
"""Returns whether a request is worth trying again, now with what the store asked for."""


def heed_nothing(_error: StorageError) -> bool:
    """Send what is configured, whatever a store asks for."""
    return False


def left_to_library(_doing: str) -> list[Entry] | None:
    """Have the library list."""
    return None


class ObjectStorage:
    """Snapshots as objects; what is not complete is never visible."""

    def __init__(
        self,
        location: BucketLocation,
        connect: Connect,
        sweep: Sweep,
        heed: Heed = heed_nothing,
        listed: List = left_to_library,
    ) -> None:
        self._location = location
        self._connect = connect
        self._sweep = sweep
        self._listed = listed
        self._heed = heed

    @property
    def kind(self) -> str:
        return self._location.kind

    def location(self, name: str) -> str:
        return f"{self._location.url}/{self._key(name)}"

    async def put(self, name: str, source: UploadSource) -> int:
        return await self._heeded(partial(self._put, name, source))

    async def entries(self) -> list[Entry]:
        return await self._heeded(self._entries)

    async def _heeded(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask once more where the store said what it needs and that can be sent."""
        try:
            return await ask()
        except StorageError as error:
            if not await in_thread(partial(self._heed, error), abandon=True):
                raise
        return await ask()

    async def _put(self, name: str, source: UploadSource) -> int:
        import obstore

        give_memory_back()
        feed = Feed(source)
        first = await feed.first(PART)
        with self._explained(f"store {name}"):
            store = await self._client(writing=True)
            if feed.ended:
                whole = b"".join(first)
                first.clear()
                upload = obstore.put_async(
                    store, self._key(name), whole, use_multipart=False, **self._described(name)
                )
            else:
                upload = obstore.put_async(
                    store,
                    self._key(name),
                    feed.rest(first),
                    chunk_size=PART,
                    max_concurrency=_PARALLEL,
                    **self._described(name),
                )
            await finished(upload, feed)
            return await self._stored(await self._client(), name, feed.position)

    async def _entries(self) -> list[Entry]:
        import obstore

        with self._explained("list snapshots"):
            doing = f"cannot list snapshots in {self._folder}"
            listed = await in_thread(partial(self._listed, doing), abandon=True)
            if listed is not None:
                return listed
            store = await self._client()
            found = await obstore.list_with_delimiter_async(store, self._location.prefix or None)
        prefix = self._location.prefix
        return [
            Entry(entry["path"].removeprefix(prefix), entry["size"])
            for entry in found["objects"]
            if entry["path"].startswith(prefix)  # the folder's own placeholder is not below it
        ]

    async def read(self, name: str) -> AsyncIterator[bytes]:
        import obstore

        with self._explained(f"read {name}"):
            store = await self._client(streaming=True)
            answer = await obstore.get_async(store, self._key(name))
            async for piece in answer.stream(min_chunk_size=_CHUNK):
                yield bytes(piece)

    async def delete(self, name: str) -> None:
        import obstore

        with self._explained(f"delete {name}"), contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(await self._client(), self._key(name))

    async def sweep(self, leftovers: Leftovers) -> int:
        with self._explained("sweep"):
            return await in_thread(partial(self._sweep, leftovers), abandon=True)

    def _described(self, name: str) -> _Description:
        described: _Description = {}
        # What lies beside a snapshot is read by every command: no archive for that.
        if self._location.storage_class is not None and snapshot_name(name) == name:
            described["attributes"] = {"Storage-Class": self._location.storage_class}
        if self._location.tags:
            described["tags"] = dict(self._location.tags)
        return described

    async def _client(self, *, streaming: bool = False, writing: bool = False) -> ObjectStore:
        return await in_thread(partial(self._connect, streaming=streaming, writing=writing))

    async def _stored(self, store: ObjectStore, name: str, sent: int) -> int:
        import obstore
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        # The bytes were checked already, against the checksum every request is signed with.
        key = self._key(name)
        try:
            stored = (await obstore.head_async(store, key))["size"]
        except (PermissionDeniedError, UnauthenticatedError):
            return sent  # reading back is an optional right
        except FileNotFoundError:
            stored = 0
        if stored != sent:
            with contextlib.suppress(BaseError, OSError):
                await obstore.delete_async(store, key)
            raise StorageError(f"{self.location(name)} holds {stored} bytes of {sent} sent")
        return stored

    def _key(self, name: str) -> str:
        return self._location.prefix + require_plain_name(name, self._location.url)

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except ConfigError as error:
            raise LoginRefused(
                f"cannot {doing} in {self._folder}: {error.message}", hint=error.hint
            ) from error
        except (BaseError, OSError, ValueError) as error:
            # Without the cause: its text holds requests as they were signed.
            what, place = f"cannot {doing} in {self._folder}", self._location
            raise explain(what, error, place.hints, place.proxy) from None

    @property
    def _folder(self) -> str:
        return f"{self._location.url}/{self._location.prefix}"
