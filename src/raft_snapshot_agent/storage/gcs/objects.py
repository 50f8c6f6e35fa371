"""Objects in a bucket; each part is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.gcs.bucket import GcsBucket


@dataclass(frozen=True, slots=True)
class GcsObjects:
    """The objects of one bucket."""

    bucket: GcsBucket
    storage_class: str | None

    def upload(self, doing: str, key: str, source: UploadSource, stop: Event) -> int:
        from raft_snapshot_agent.storage.gcs.upload import upload

        return upload(self.bucket, doing, key, source, stop, self.storage_class)

    def list_sizes(self, doing: str, prefix: str) -> Iterator[tuple[str, int]]:
        listed = self.bucket.list_objects(prefix, doing)
        # Skip the folder's placeholder object.
        return ((one.key, one.size) for one in listed if one.key != prefix)

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        return self.bucket.open(doing, key, start, version)

    def read_on(self, doing: str, answer: BaseHTTPResponse) -> bytes:
        return self.bucket.read_on(doing, answer)

    def delete(self, doing: str, key: str) -> None:
        self.bucket.delete(key, doing=doing)

    def sweep(self, _prefix: str, _leftovers: Leftovers) -> int:
        """Do nothing: incomplete uploads cannot be listed, and Google drops them after a week."""
        return 0
