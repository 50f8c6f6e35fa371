"""What a storage needs of a container beside its client; each part is loaded when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.azure.store import AzureClient
    from raft_snapshot_agent.storage.http.listing import Listed


@dataclass(frozen=True, slots=True)
class AzureObjects:
    """The blobs of one container."""

    client: AzureClient

    def upload(self, doing: str, key: str, source: UploadSource, stop: Event) -> int:
        from raft_snapshot_agent.storage.azure.upload import upload

        return upload(self.client, doing, key, source, stop)

    def list_objects(self, doing: str, prefix: str) -> Iterator[Listed]:
        from raft_snapshot_agent.storage.azure.listing import list_blobs

        return list_blobs(self.client, doing, prefix)

    def sweep(self, _prefix: str, _leftovers: Leftovers) -> int:
        """Do nothing: Azure drops uncommitted blocks after a week."""
        return 0
