from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.azurite import Azurite
from tests.contract.destinations import S3, Azure, Gcs, Local, Memory, Place, Sftp, Swift, Webdav
from tests.fake_gcs import FakeGcs
from tests.moto_store import MotoStore
from tests.stores.fixtures import HAS_SSHD

from raft_snapshot_agent.servers.seaweedfs import SeaweedFS


@pytest.fixture
def spools(tmp_path: Path) -> Path:
    folder = tmp_path / "spools"
    folder.mkdir()
    return folder


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A folder no hard link reaches from `tmp_path`."""
    device = tmp_path.stat().st_dev
    candidates = map(Path, ("/dev/shm", "/run", "/var/tmp"))
    root = next(path for path in candidates if path.is_dir() and path.stat().st_dev != device)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)


@pytest.fixture
def s3(seaweed: SeaweedFS, bucket: str, spools: Path) -> Iterator[S3]:
    destination = S3(seaweed, bucket, spools)
    yield destination
    destination.client.close()


@pytest.fixture(scope="session")
def moto_store() -> Iterator[MotoStore]:
    with MotoStore.start() as store:
        yield store


@pytest.fixture
def moto(moto_store: MotoStore, spools: Path) -> Iterator[S3]:
    """The emulation of Amazon S3, as another store that speaks its protocol."""
    bucket = f"test-{secrets.token_hex(6)}"
    moto_store.create_bucket(bucket)
    destination = S3(
        cast("SeaweedFS", moto_store), bucket, spools
    )  # what it is asked for, both have
    yield destination
    destination.client.close()


@pytest.fixture
def gcs(fake_gcs: FakeGcs, spools: Path) -> Gcs:
    bucket = f"test-{secrets.token_hex(6)}"
    fake_gcs.create_bucket(bucket)
    return Gcs(fake_gcs, bucket, spools)


@pytest.fixture
def azure(azurite: Azurite, spools: Path) -> Azure:
    container = f"test-{secrets.token_hex(6)}"
    azurite.create_container(container)
    return Azure(azurite, container, spools)


def _place(kind: str, request: pytest.FixtureRequest) -> Place:
    def fixture(name: str) -> Any:
        return request.getfixturevalue(name)

    tmp_path: Path = fixture("tmp_path")
    match kind:
        case "memory":
            return Memory(fixture("spools"))
        case "local":
            return Local(tmp_path / "local", fixture("spools"))
        case "local-other-file-system":
            return Local(tmp_path / "local", fixture("other_file_system"))
        case "sftp":
            return Sftp(tmp_path / "sftp", fixture("spools"), fixture("sftp_server"))
        case "sftp-openssh":
            return Sftp(tmp_path / "sftp", fixture("spools"), fixture("openssh_server"))
        case "swift":
            return Swift(fixture("swift_server"), fixture("container"), fixture("spools"))
        case "webdav":
            return Webdav(fixture("webdav"), fixture("spools"))
        case _:
            store: Place = fixture(kind)
            return store


_SWEPT = ["local", "local-other-file-system", "s3", "sftp", "swift", "webdav"]
if HAS_SSHD:
    _SWEPT.append("sftp-openssh")
_LASTING = [*_SWEPT, "azure", "gcs"]


@pytest.fixture(params=["memory", "moto", *_LASTING])
def destination(request: pytest.FixtureRequest) -> Place:
    """Each place there is, in turn."""
    return _place(request.param, request)


@pytest.fixture(params=_LASTING)
def lasting_place(request: pytest.FixtureRequest) -> Place:
    """Each place that outlives a process."""
    return _place(request.param, request)


@pytest.fixture(params=_SWEPT)
def swept_place(request: pytest.FixtureRequest) -> Place:
    """Each place where the agent itself has to remove what crashed runs left."""
    return _place(request.param, request)
