"""How S3 keeps a lease's record: by the ETag, which a write may insist on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.s3.client import S3Client
from raft_snapshot_agent.storage.s3.listing import list_objects
from raft_snapshot_agent.storage.s3.payload import Payload


@dataclass(frozen=True, slots=True)
class S3Records:
    """The records of one bucket. Source: "Conditional requests" of the S3 guide."""

    client: S3Client

    def read_record(self, doing: str, key: str, most: int) -> tuple[bytes, str] | None:
        try:
            answer = self.client.open(doing, key)
        except SnapshotNotFound:
            return None
        with closing(answer):
            content = self.client.read_on(doing, answer, most)
        if not (etag := answer.headers.get("etag")):
            raise StorageError(f"{doing}: the store tells no ETag", hint="check endpoint")
        return content, etag

    def write_record(
        self, doing: str, key: str, content: bytes, expected: str | None
    ) -> str | None:
        return self.client.put_where(doing, key, Payload.of([content]), expected)

    def delete_record(self, doing: str, key: str) -> None:
        self.client.delete(doing, key)

    def list_records(self, doing: str, folder: str) -> Iterator[tuple[str, datetime | None]]:
        return ((one.key, one.written) for one in list_objects(self.client, doing, folder))
