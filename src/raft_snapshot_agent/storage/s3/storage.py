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
    from raft_snapshot_agent.storage.http.listing import Listed
    from raft_snapshot_agent.storage.s3.store import S3Client


@dataclass(frozen=True, slots=True)
class S3Objects:
    """The objects of one bucket."""

    client: S3Client

    def upload(self, doing: str, key: str, source: UploadSource, stop: Event) -> int:
        from raft_snapshot_agent.storage.s3.upload import upload

        return upload(self.client, doing, key, source, stop)

    def list_objects(self, doing: str, prefix: str) -> Iterator[Listed]:
        from raft_snapshot_agent.storage.s3.listing import list_objects

        return list_objects(self.client, doing, prefix)

    def sweep(self, prefix: str, leftovers: Leftovers) -> int:
        from raft_snapshot_agent.storage.s3 import multipart

        uploads = multipart.Uploads(self.client)
        return multipart.sweep(uploads, prefix, leftovers, datetime.now(UTC))
