from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.places import S3
from tests.s3_faults import S3Faults

from raft_snapshot_agent.servers.seaweedfs import SeaweedFS


@pytest.fixture
def s3(seaweed: SeaweedFS, bucket: str, tmp_path: Path) -> Iterator[S3]:
    place = S3(seaweed, bucket, tmp_path)
    yield place
    place.client.close()


@pytest.fixture
def faults(s3: S3) -> Iterator[S3Faults]:
    """The same store behind a proxy that fails what a test wants."""
    with S3Faults(s3.seaweed.endpoint) as made:
        yield made
