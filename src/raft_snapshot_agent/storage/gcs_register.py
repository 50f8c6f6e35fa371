"""A lease's record as an object of Cloud Storage, written where its generation is the expected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from raft_snapshot_agent.core.lease import Record, Versioned
from raft_snapshot_agent.errors import ConfigError, SnapshotNotFound, StorageDenied, StorageError
from raft_snapshot_agent.storage.gcs_bucket import GENERATION, Bucket
from raft_snapshot_agent.threads import in_thread

T = TypeVar("T")


class GcsRegister:
    """Compare-and-swap by generations: each write makes a new one, and none comes back."""

    def __init__(self, location: str, key: str, connect: Callable[[], Bucket]) -> None:
        self._location = location
        self._key = key
        self._connect = connect
        self._bucket: Bucket | None = None

    @property
    def location(self) -> str:
        return self._location

    async def read(self) -> Versioned | None:
        return await self._blocking(self._read)

    async def write(self, record: Record, expected: str | None) -> str | None:
        return await self._blocking(partial(self._write, record, expected))

    async def close(self) -> None:
        self._bucket = None

    def _read(self, bucket: Bucket) -> Versioned | None:
        doing = f"cannot read the lease {self._location}"
        try:
            answer = bucket.open(doing, self._key)
        except SnapshotNotFound:
            return None
        # Both from one answer: asked one after the other, they could be of two writes.
        generation = answer.headers.get(GENERATION, "")
        record = Record.from_json(bucket.read_on(doing, answer, None))
        if not generation:
            raise StorageError(f"{doing}: the store tells no generation", hint="check endpoint")
        return Versioned(record, generation)

    def _write(self, record: Record, expected: str | None, bucket: Bucket) -> str | None:
        doing = f"cannot write the lease {self._location}"
        metadata = {"name": self._key, "cacheControl": "no-store"}
        stored = bucket.insert(doing, record.to_json(), metadata, expected or "0")
        return None if stored is None else stored.generation

    async def _blocking(self, work: Callable[[Bucket], T]) -> T:
        # Used every few seconds: connections and tokens are kept.
        try:
            if self._bucket is None:
                self._bucket = await in_thread(self._connect)
            return await in_thread(partial(work, self._bucket), abandon=True)
        except ConfigError as error:
            raise StorageDenied(error.message, hint=error.hint) from error
