"""Keeps a lease record as an object, with conditional writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import RECORD_LIMIT, Record
from raft_snapshot_agent.errors import ConfigError, LoginRefused, StorageError
from raft_snapshot_agent.threads import in_thread

T = TypeVar("T")

_MOST_PROBES = 1000
_LEFT_BEHIND = timedelta(hours=1)
"""Age at which a probe record belongs to a killed proof; a proof takes seconds."""


class RecordBucket(Protocol):
    """A store with conditional writes."""

    def read_record(self, doing: str, key: str, most: int) -> tuple[bytes, str] | None:
        """Return the first bytes of a record and its version; `None` if it is missing.

        Both must come from one answer; from two, they could belong to different writes.
        """

    def write_record(
        self, doing: str, key: str, content: bytes, expected: str | None
    ) -> str | None:
        """Write a record if its present version is `expected` (`None`: if it is missing).

        Returns:
            The new version; `None` if the condition failed.
        """

    def delete_record(self, doing: str, key: str) -> None:
        """Delete a record; a missing one is not an error."""

    def list_records(self, doing: str, folder: str) -> Iterable[tuple[str, datetime | None]]:
        """List the keys below a folder with the time of each write by the store's clock."""


class BucketLeaseStore:
    """Compare-and-swap by conditional writes of the store."""

    def __init__(
        self,
        bucket: str,
        key: str,
        connect: Callable[[], RecordBucket],
        adapt_to: Callable[[StorageError], bool] = lambda _: False,
    ) -> None:
        """Store the arguments; no I/O.

        Arguments:
            bucket: URL of the bucket, as an operator would write it.
            key: Key of the record.
            connect: Returns a client with the present credentials.
            adapt_to: Adapts to an error of the store; returns whether to retry.
        """
        self._bucket = bucket
        self._key = key
        self._connect = connect
        self._adapt_to = adapt_to
        self._open: RecordBucket | None = None

    @property
    def location(self) -> str:
        return f"{self._bucket}/{self._key}"

    async def read(self) -> Versioned | None:
        found = await self._blocking(
            "read", lambda records, doing: records.read_record(doing, self._key, RECORD_LIMIT + 1)
        )
        return None if found is None else Versioned(Record.from_json(found[0]), found[1])

    async def write(self, record: Record, expected: str | None) -> str | None:
        write = partial(self._write, record, expected)
        try:
            return await self._blocking("write", write)
        except StorageError as error:
            if not self._adapt_to(error):
                raise
        return await self._blocking("write", write)

    async def close(self) -> None:
        self._open = None

    def probe(self, name: str) -> BucketProbe:
        """Return a store for a test record, in a folder that contains only test records."""
        key = f"{self._key.removesuffix('.json')}-probe/{name}.json"
        return BucketProbe(self._bucket, key, self._connect, self._adapt_to)

    def _write(
        self, record: Record, expected: str | None, records: RecordBucket, doing: str
    ) -> str | None:
        return records.write_record(doing, self._key, record.to_json(), expected)

    async def _blocking(self, verb: str, work: Callable[[RecordBucket, str], T]) -> T:
        doing = f"cannot {verb} the lease record {self.location}"
        # Used every few seconds, so connections and short-lived credentials are reused.
        try:
            if self._open is None:
                self._open = await in_thread(self._connect)
            return await in_thread(partial(work, self._open, doing), abandon=True)
        except ConfigError as error:
            raise LoginRefused(f"{doing}: {error.message}", hint=error.hint) from error
        except StorageError:
            self._open = None  # the credentials in a file may have changed
            raise


class BucketProbe(BucketLeaseStore):
    """A test record, which can be deleted."""

    async def delete(self) -> None:
        await self._blocking(
            "delete", lambda records, doing: records.delete_record(doing, self._key)
        )

    async def sweep(self) -> None:
        await self._blocking("sweep", self._sweep)

    def _sweep(self, records: RecordBucket, doing: str) -> None:
        folder = f"{self._key.rpartition('/')[0]}/"
        found = [*records.list_records(doing, folder)]
        if len(found) > _MOST_PROBES:  # hardly ours, so they are not deleted
            return
        written = [(key, at) for key, at in found if at is not None]
        newest = max((at for _, at in written), default=None)
        for key, at in written:  # by the store's own clock
            if newest is not None and newest - at >= _LEFT_BEHIND:
                records.delete_record(doing, key)
