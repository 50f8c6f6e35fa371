"""Where a bucket is, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from raft_snapshot_agent.network.address import ProxyAddress
from raft_snapshot_agent.storage.limits import MOST_OBJECTS


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """Where a bucket answers."""

    endpoint: str
    """Scheme and host."""
    path: str
    """Empty where the bucket is part of the host."""
    region: str
    ca_file: Path | None
    timeout: timedelta
    skip_verify: bool = False
    proxy: ProxyAddress | None = None
    """The one that the configuration names."""
    max_objects: int = MOST_OBJECTS
    name: str = ""

    @property
    def url(self) -> str:
        return self.endpoint + self.path

    def shown(self, key: str) -> str:
        """Say where an object lies, as an operator would write it."""
        return f"s3://{self.name}/{key}"


def is_trusted(bucket: S3Bucket) -> bool:
    """Return whether TLS proves who takes the bytes, and that nobody else changes them."""
    return bucket.endpoint.startswith("https:") and not bucket.skip_verify
