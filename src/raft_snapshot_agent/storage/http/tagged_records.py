"""Lease records in a store with ETags: a write can require the expected record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from raft_snapshot_agent.errors import SnapshotNotFound
from raft_snapshot_agent.storage.http.answers import require_etag

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.http.bucket_client import BucketClient
    from raft_snapshot_agent.storage.http.listing import Listed


class TaggedObjects(Protocol):
    """The objects of one bucket."""

    @property
    def client(self) -> BucketClient[Any]:
        """The client that reads, writes and removes them."""

    def list_objects(self, doing: str, prefix: str) -> Iterable[Listed]:
        """List the objects directly below a prefix."""


@dataclass(frozen=True, slots=True)
class TaggedRecords:
    """The records of one bucket.

    Source: "Conditional requests" of the S3 guide; "Specifying conditional headers for Blob
    service operations".
    """

    objects: TaggedObjects

    def read_record(self, doing: str, key: str, most: int) -> tuple[bytes, str] | None:
        try:
            answer = self.objects.client.open(doing, key)
        except SnapshotNotFound:
            return None
        with closing(answer):
            content = self.objects.client.read_on(doing, answer, most)
        return content, require_etag(answer, doing, "check endpoint")

    def write_record(
        self, doing: str, key: str, content: bytes, expected: str | None
    ) -> str | None:
        return self.objects.client.put_where(doing, key, content, expected)

    def delete_record(self, doing: str, key: str) -> None:
        self.objects.client.delete(doing, key)

    def list_records(self, doing: str, folder: str) -> Iterator[tuple[str, datetime | None]]:
        return ((one.key, one.written) for one in self.objects.list_objects(doing, folder))
