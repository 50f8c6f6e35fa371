"""A lease's record as an object, written only where nobody wrote meanwhile."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from raft_snapshot_agent.core.lease import Record, Versioned
from raft_snapshot_agent.core.lease_record import RECORD_LIMIT
from raft_snapshot_agent.errors import ConfigError, LoginRefused, SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.objectstore.errors import explain
from raft_snapshot_agent.storage.objectstore.objects import (
    BucketLocation,
    Connect,
    Heed,
    heed_nothing,
)
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion
    from obstore.store import ObjectStore


_NOT_IMPLEMENTED = "status code: 501"
_MOST_PROBES = 1000
_LEFT_BEHIND = timedelta(hours=1)
"""A proof takes seconds; what is older by this was left by one that was killed."""


class ObjectLeaseStore:
    """Compare-and-swap by the store's own conditional writes."""

    def __init__(
        self, place: BucketLocation, connect: Connect, name: str, heed: Heed = heed_nothing
    ) -> None:
        self._location = place
        self._heed = heed
        self._connect = connect
        self._name = name
        self._key = f"{place.prefix}{name}.json"
        self._clients: dict[bool, ObjectStore] = {}

    @property
    def location(self) -> str:
        return f"{self._location.url}/{self._key}"

    async def read(self) -> Versioned | None:
        import obstore

        with self._explained("read"):
            try:
                answer = await obstore.get_async(await self._client(writing=False), self._key)
            except FileNotFoundError as error:
                self._insist_on_bucket("read", error)
                return None
            # What is too long is none of ours, and is not fetched.
            whole = answer.meta["size"] <= RECORD_LIMIT
            text = bytes(await answer.bytes_async()) if whole else b""
            return Versioned(Record.from_json(text), _version(answer.meta))

    async def write(self, record: Record, expected: str | None) -> str | None:
        try:
            return await self._write(record, expected)
        except StorageError as error:
            if not await in_thread(partial(self._heed, error), abandon=True):
                raise
        return await self._write(record, expected)

    async def _write(self, record: Record, expected: str | None) -> str | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._explained("write"):
            client = await self._client(writing=True)
            try:
                put = await obstore.put_async(
                    client, self._key, record.to_json(), mode=_mode(expected), use_multipart=False
                )
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
                self._insist_on_bucket("write", error)
                return None  # also where it was deleted: whoever reads it again will see
            return _version(put)

    async def close(self) -> None:
        self._clients.clear()

    def probe(self, name: str) -> ObjectProbe:
        return ObjectProbe(self._location, self._connect, f"{self._name}-probe/{name}", self._heed)

    async def _client(self, *, writing: bool) -> ObjectStore:
        # Used every few seconds: connections and short-lived credentials are kept.
        if writing not in self._clients:
            self._clients[writing] = await in_thread(partial(self._connect, writing=writing))
        return self._clients[writing]

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except ConfigError as error:
            why = f"cannot {doing} the lease record {self.location}: {error.message}"
            raise LoginRefused(why, hint=error.hint) from error
        except (BaseError, OSError, ValueError) as error:
            self._clients.clear()  # the credentials in a file may be others by now
            # Without the cause: its text holds requests as they were signed.
            raise self._error(doing, error) from None

    def _insist_on_bucket(self, doing: str, error: Exception) -> None:
        """Tell a record that is missing from a bucket that is: 404 is said of both.

        Raises:
            StorageError: It is not the record.
        """
        if "status code: 404" not in str(error):
            return
        missing = FileNotFoundError(str(error))
        # A key that is missing is only called that where something was to be read.
        if not isinstance(self._error("read", missing), SnapshotNotFound):
            raise self._error(doing, missing) from None

    def _error(self, doing: str, error: Exception) -> StorageError:
        what = f"cannot {doing} the lease record {self.location}"
        explained = explain(what, error, self._location.hints, self._location.proxy)
        if _NOT_IMPLEMENTED in str(error):  # no matter of waiting
            return StorageError(explained.message, hint=explained.hint)
        return explained


class ObjectProbe(ObjectLeaseStore):
    """A record in a folder of probes, which has nothing else in it."""

    async def delete(self) -> None:
        import obstore

        with self._explained("delete"), contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(await self._client(writing=True), self._key)

    async def sweep(self) -> None:
        import obstore

        with self._explained("sweep"):
            client = await self._client(writing=True)
            found: list[ObjectMeta] = []
            async for some in obstore.list(client, self._key.rpartition("/")[0]):
                found += some
                if len(found) > _MOST_PROBES:  # hardly ours: whoever they belong to keeps them
                    return
            newest = max((one["last_modified"] for one in found), default=None)
            for one in found:  # by the store's own clock
                if newest is not None and newest - one["last_modified"] >= _LEFT_BEHIND:
                    await obstore.delete_async(client, one["path"])


def _version(described: Mapping[str, Any]) -> str:
    """Keep what the store tells the state of an object by: the one or the other, or both."""
    found = {key: described.get(key) for key in ("e_tag", "version")}
    return json.dumps({key: value for key, value in found.items() if value is not None})


def _mode(expected: str | None) -> Literal["create"] | UpdateVersion:
    if expected is None:
        return "create"
    version: UpdateVersion = json.loads(expected)
    return version
