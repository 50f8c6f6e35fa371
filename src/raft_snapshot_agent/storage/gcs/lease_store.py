"""A lease's record as an object of Cloud Storage, written where its generation is the expected."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar

from raft_snapshot_agent.core.lease import Record, Versioned
from raft_snapshot_agent.core.lease_record import RECORD_LIMIT
from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
)
from raft_snapshot_agent.storage.gcs.bucket import GENERATION, GcsBucket
from raft_snapshot_agent.threads import in_thread

T = TypeVar("T")

_LEFT_BEHIND = timedelta(hours=1)
"""A proof takes seconds; what is older by this was left by one that was killed."""


class GcsLeaseStore:
    """Compare-and-swap by generations: each write makes a new one, and none comes back."""

    def __init__(self, location: str, key: str, connect: Callable[[], GcsBucket]) -> None:
        self._location = location
        self._key = key
        self._connect = connect
        self._bucket: GcsBucket | None = None

    @property
    def location(self) -> str:
        return self._location

    async def read(self) -> Versioned | None:
        return await self._blocking(self._read)

    async def write(self, record: Record, expected: str | None) -> str | None:
        return await self._blocking(partial(self._write, record, expected))

    async def close(self) -> None:
        self._bucket = None

    def probe(self, name: str) -> GcsProbe:
        """Keep another record, in a folder of probes that has nothing else in it."""
        location, key = (
            f"{record.removesuffix('.json')}-probe/{name}.json"
            for record in (self._location, self._key)
        )
        return GcsProbe(location, key, self._connect)

    def _read(self, bucket: GcsBucket) -> Versioned | None:
        doing = f"cannot read the lease record {self._location}"
        try:
            answer = bucket.open(doing, self._key)
        except SnapshotNotFound:
            # An emulator says the same where the bucket is missing; a listing does not.
            with suppress(StorageDenied):
                next(bucket.list_objects(self._key, doing), None)
            return None
        # Both from one answer: asked one after the other, they could be of two writes.
        generation = answer.headers.get(GENERATION, "")
        with closing(answer):
            record = Record.from_json(bucket.read_on(doing, answer, RECORD_LIMIT + 1))
        if not generation:
            raise StorageError(f"{doing}: the store tells no generation", hint="check endpoint")
        return Versioned(record, generation)

    def _write(self, record: Record, expected: str | None, bucket: GcsBucket) -> str | None:
        doing = f"cannot write the lease record {self._location}"
        metadata = {"name": self._key, "cacheControl": "no-store"}
        stored = bucket.insert(doing, record.to_json(), metadata, expected or "0")
        return None if stored is None else stored.generation

    async def _blocking(self, work: Callable[[GcsBucket], T]) -> T:
        # Used every few seconds: connections and tokens are kept.
        try:
            if self._bucket is None:
                self._bucket = await in_thread(self._connect)
            return await in_thread(partial(work, self._bucket), abandon=True)
        except ConfigError as error:
            raise LoginRefused(error.message, hint=error.hint) from error


class GcsProbe(GcsLeaseStore):
    """A record that can be removed again."""

    async def delete(self) -> None:
        await self._blocking(lambda bucket: bucket.delete(self._key))

    async def sweep(self) -> None:
        await self._blocking(self._sweep)

    def _sweep(self, bucket: GcsBucket) -> None:
        probes = [*bucket.list_objects(f"{self._key.rpartition('/')[0]}/")]
        written = [(one.key, one.updated) for one in probes if one.updated is not None]
        newest = max((at for _, at in written), default=None)
        for key, at in written:  # by the store's own clock
            if newest is not None and newest - at >= _LEFT_BEHIND:
                bucket.delete(key)
