"""Objects in an S3 bucket; each part is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING

from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.s3.client import S3Client


@dataclass(frozen=True, slots=True)
class S3Objects:
    """The objects of one bucket."""

    client: S3Client

    def upload(self, doing: str, key: str, source: UploadSource, stop: Event) -> int:
        from raft_snapshot_agent.storage.s3.upload import upload

        return upload(self.client, doing, key, source, stop)

    def list_sizes(self, doing: str, prefix: str) -> Iterator[tuple[str, int]]:
        from raft_snapshot_agent.storage.s3.listing import list_objects

        return ((one.key, one.size) for one in list_objects(self.client, doing, prefix))

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        return self.client.open(doing, key, start, version)

    def read_on(self, doing: str, answer: BaseHTTPResponse) -> bytes:
        return self.client.read_on(doing, answer)

    def delete(self, doing: str, key: str) -> None:
        self.client.delete(doing, key)

    def sweep(self, prefix: str, leftovers: Leftovers) -> int:
        from raft_snapshot_agent.storage.s3 import multipart

        uploads = multipart.Uploads(self.client)
        return multipart.sweep(uploads, prefix, leftovers, datetime.now(UTC))
