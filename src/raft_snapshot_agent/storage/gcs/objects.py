"""What a storage needs of a bucket beside its client; each part is loaded when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.gcs.bucket import GcsBucket, GcsObject


@dataclass(frozen=True, slots=True)
class GcsObjects:
    """The objects of one bucket."""

    client: GcsBucket
    storage_class: str | None

    def upload(self, doing: str, key: str, source: UploadSource, stop: Event) -> int:
        from raft_snapshot_agent.storage.gcs.upload import upload

        return upload(self.client, doing, key, source, stop, self.storage_class)

    def list_objects(self, doing: str, prefix: str) -> Iterator[GcsObject]:
        listed = self.client.list_objects(prefix, doing)
        # The folder's own placeholder is not below it.
        return (one for one in listed if one.key != prefix)

    def sweep(self, _prefix: str, _leftovers: Leftovers) -> int:
        """Do nothing: incomplete uploads cannot be listed, and Google drops them after a week."""
        return 0
