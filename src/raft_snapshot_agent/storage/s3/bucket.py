"""Address of a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from raft_snapshot_agent.network.address import ProxyAddress
from raft_snapshot_agent.storage.limits import MOST_OBJECTS


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """Address of a bucket, with region and proxy."""

    endpoint: str
    """Scheme and host."""
    path: str
    """Path of the bucket; empty if the bucket is part of the host."""
    region: str
    ca_file: Path | None
    timeout: timedelta
    skip_verify: bool = False
    proxy: ProxyAddress | None = None
    """The configured proxy."""
    max_objects: int = MOST_OBJECTS
    name: str = ""

    @property
    def url(self) -> str:
        return self.endpoint + self.path

    def shown(self, key: str) -> str:
        """Return the address of an object as an operator would write it."""
        return f"s3://{self.name}/{key}"
