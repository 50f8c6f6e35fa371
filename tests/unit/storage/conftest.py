from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.azurite import Azurite
from tests.contract.destinations import S3, Azure, Gcs
from tests.fake_gcs import FakeGcs
from tests.s3_faults import S3Faults
from tests.token_server import TokenServer

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


@pytest.fixture
def gcs(fake_gcs: FakeGcs, tmp_path: Path) -> Gcs:
    bucket = f"test-{secrets.token_hex(6)}"
    fake_gcs.create_bucket(bucket)
    return Gcs(fake_gcs, bucket, tmp_path)


@pytest.fixture
def azure(azurite: Azurite, tmp_path: Path) -> Azure:
    container = f"test-{secrets.token_hex(6)}"
    azurite.create_container(container)
    return Azure(azurite, container, tmp_path)


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    server = TokenServer()
    yield server
    server.stop()
