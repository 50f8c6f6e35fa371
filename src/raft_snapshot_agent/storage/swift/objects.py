"""The operations of a storage on a container; uploads and sweeps are loaded when used."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event

from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.swift.container import Container, SwiftObject
from raft_snapshot_agent.storage.swift.options import SwiftOptions


@dataclass(frozen=True, slots=True)
class SwiftObjects:
    """The objects of one container."""

    client: Container
    segment_size: int

    @classmethod
    def of(cls, settings: SwiftOptions) -> SwiftObjects:
        """Prepare without contacting anything."""
        return cls(Container(settings), int(settings.segment_size))

    def upload(self, _doing: str, key: str, source: UploadSource, stop: Event) -> int:
        from raft_snapshot_agent.storage.swift.upload import SwiftUpload

        return SwiftUpload(self.client, key, self.segment_size).run(source, stop)

    def list_objects(self, doing: str, prefix: str) -> list[SwiftObject]:
        return self.client.listed(doing, prefix, "/")

    def sweep(self, prefix: str, leftovers: Leftovers) -> int:
        from raft_snapshot_agent.storage.swift.upload import sweep

        return sweep(self.client, prefix, leftovers)
