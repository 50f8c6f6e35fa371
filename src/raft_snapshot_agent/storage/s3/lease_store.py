"""Lease records in S3, with writes conditional on the ETag."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.storage.http.answers import read_tagged
from raft_snapshot_agent.storage.s3.client import S3Client
from raft_snapshot_agent.storage.s3.listing import list_objects
from raft_snapshot_agent.storage.s3.payload import Payload


@dataclass(frozen=True, slots=True)
class S3Records:
    """The lease records in one bucket. Source: "Conditional requests" of the S3 guide."""

    client: S3Client

    def read_record(self, doing: str, key: str, most: int) -> tuple[bytes, str] | None:
        return read_tagged(self.client, doing, key, most)

    def write_record(
        self, doing: str, key: str, content: bytes, expected: str | None
    ) -> str | None:
        return self.client.put_where(doing, key, Payload.of([content]), expected)

    def delete_record(self, doing: str, key: str) -> None:
        self.client.delete(doing, key)

    def list_records(self, doing: str, folder: str) -> Iterator[tuple[str, datetime | None]]:
        return ((one.key, one.written) for one in list_objects(self.client, doing, folder))
