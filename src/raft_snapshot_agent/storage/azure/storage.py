"""Objects and lease records in a container; each part is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.http.answers import read_tagged
from raft_snapshot_agent.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.azure.client import AzureClient


@dataclass(frozen=True, slots=True)
class AzureObjects:
    """The blobs of one container."""

    client: AzureClient

    def upload(self, doing: str, key: str, source: UploadSource, stop: Event) -> int:
        from raft_snapshot_agent.storage.azure.upload import upload

        return upload(self.client, doing, key, source, stop)

    def list_sizes(self, doing: str, prefix: str) -> Iterator[tuple[str, int]]:
        from raft_snapshot_agent.storage.azure.listing import list_blobs

        return ((one.key, one.size) for one in list_blobs(self.client, doing, prefix))

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        return self.client.open(doing, key, start, version)

    def read_on(self, doing: str, answer: BaseHTTPResponse) -> bytes:
        return self.client.read_on(doing, answer)

    def delete(self, doing: str, key: str) -> None:
        self.client.delete(doing, key)

    def sweep(self, _prefix: str, _leftovers: Leftovers) -> int:
        """Do nothing: Azure drops uncommitted blocks after a week."""
        return 0


@dataclass(frozen=True, slots=True)
class AzureRecords:
    """The lease records in one container, with writes conditional on the ETag.

    Source: "Specifying conditional headers for Blob service operations".
    """

    client: AzureClient

    def read_record(self, doing: str, key: str, most: int) -> tuple[bytes, str] | None:
        return read_tagged(self.client, doing, key, most)

    def write_record(
        self, doing: str, key: str, content: bytes, expected: str | None
    ) -> str | None:
        return self.client.put_where(doing, key, content, expected)

    def delete_record(self, doing: str, key: str) -> None:
        self.client.delete(doing, key)

    def list_records(self, doing: str, folder: str) -> Iterator[tuple[str, datetime | None]]:
        from raft_snapshot_agent.storage.azure.listing import list_blobs

        return ((one.key, one.written) for one in list_blobs(self.client, doing, folder))
