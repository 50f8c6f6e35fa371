"""Lease records in Cloud Storage, versioned by the generation, which is never reused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.errors import SnapshotNotFound, StorageDenied, StorageError
from raft_snapshot_agent.storage.gcs.bucket import GENERATION, GcsBucket


@dataclass(frozen=True, slots=True)
class GcsRecords:
    """The lease records in one bucket."""

    bucket: GcsBucket

    def read_record(self, doing: str, key: str, most: int) -> tuple[bytes, str] | None:
        try:
            answer = self.bucket.open(doing, key)
        except SnapshotNotFound:
            # An emulator answers the same if the bucket is missing; a listing distinguishes them.
            with suppress(StorageDenied):
                next(self.bucket.list_objects(key, doing), None)
            return None
        generation = answer.headers.get(GENERATION, "")
        with closing(answer):
            content = self.bucket.read_on(doing, answer, most)
        if not generation:
            raise StorageError(f"{doing}: the store tells no generation", hint="check endpoint")
        return content, generation

    def write_record(
        self, doing: str, key: str, content: bytes, expected: str | None
    ) -> str | None:
        metadata = {"name": key, "cacheControl": "no-store"}
        stored = self.bucket.insert(doing, content, metadata, expected or "0")
        return None if stored is None else stored.generation

    def delete_record(self, doing: str, key: str) -> None:
        self.bucket.delete(doing, key)

    def list_records(self, doing: str, folder: str) -> Iterator[tuple[str, datetime | None]]:
        return ((one.key, one.updated) for one in self.bucket.list_objects(folder, doing))
