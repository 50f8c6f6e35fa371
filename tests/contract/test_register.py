"""Whatever keeps a lease's record writes it only where nobody wrote meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
import pytest
from tests.contract.conftest import _place
from tests.contract.destinations import S3, SETTINGS, Place
from tests.kube import NAMESPACE, Kube

from raft_snapshot_agent.core.leases.lease import LeaseStore, Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.core.snapshots.naming import catalogue
from raft_snapshot_agent.errors import AgentError, ConfigError, StorageError
from raft_snapshot_agent.lease.in_kubernetes import KubernetesLease

NAME = "raft-snapshot-lease"
FIRST = Record("first", 1, 0, 15.0, "2026-11-25T12:00:00Z")

pytestmark = pytest.mark.anyio

Open = Callable[[], LeaseStore]


class Kept(Protocol):
    """Where the record lies."""

    def open(self) -> LeaseStore: ...

    async def delete(self) -> None: ...


@dataclass(frozen=True)
class InStorage:
    destination: Place

    def open(self) -> LeaseStore:
        settings = SETTINGS.validate_python(self.destination.settings("prod/"))
        if settings.type == "local":
            settings.prepare()
        found: LeaseStore = settings.lease_store(NAME)
        return found

    async def delete(self) -> None:
        location = self.open().location
        if location.startswith("/"):
            for path in Path(location).iterdir():  # noqa: ASYNC240
                path.unlink()
        else:
            await self.destination.open("prod/").delete(f"{NAME}.json")


@dataclass(frozen=True)
class InKubernetes:
    kube: Kube

    def open(self) -> LeaseStore:
        return KubernetesLease(type="kubernetes").lease_store(())

    async def delete(self) -> None:
        del self.kube.leases[NAME]


@pytest.fixture(params=["local", "s3", "moto", "azure", "gcs", "kubernetes"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kept:
    if request.param != "kubernetes":
        return InStorage(_place(request.param, request))
    kube: Kube = request.getfixturevalue("kube")
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig()))
    return InKubernetes(kube)


@pytest.fixture
async def another(kept: Kept) -> AsyncIterator[Open]:
    """Open the register as one more agent."""
    opened: list[LeaseStore] = []

    def one_more() -> LeaseStore:
        opened.append(kept.open())
        return opened[-1]

    yield one_more
    for lease_store in opened:
        await lease_store.close()


@pytest.fixture
def lease_store(another: Open) -> LeaseStore:
    return another()


async def written(lease_store: LeaseStore, record: Record, expected: str | None) -> str:
    version = await lease_store.write(record, expected)
    assert version is not None
    return version


async def test_at_first_there_is_none(lease_store: LeaseStore) -> None:
    assert await lease_store.read() is None


async def test_what_is_written_is_read_by_every_agent(
    lease_store: LeaseStore, another: Open
) -> None:
    version = await written(lease_store, FIRST, None)
    assert await lease_store.read() == await another().read() == Versioned(FIRST, version)


async def test_only_one_can_make_it(lease_store: LeaseStore, another: Open) -> None:
    version = await written(lease_store, FIRST, None)
    assert await another().write(Record("second", 1, 0, 15.0), None) is None
    assert await lease_store.read() == Versioned(FIRST, version)


async def test_it_goes_on_from_what_was_expected(lease_store: LeaseStore, another: Open) -> None:
    version = await written(lease_store, FIRST, None)
    for _ in range(25):
        found = await another().read()
        assert found is not None
        assert found.version == version
        renewed = found.record.renewed({"disk": "2026-11-25T12:00:00+00:00"})
        version = await written(lease_store, renewed, version)
        assert await lease_store.read() == Versioned(renewed, version)


async def test_who_expects_what_was_replaced_writes_nothing(
    lease_store: LeaseStore, another: Open
) -> None:
    old = await written(lease_store, FIRST, None)
    version = await written(lease_store, FIRST.renewed({}), old)
    for expected in (old, None):
        assert await another().write(Record("late", 2, 0, 15.0), expected) is None
    assert await lease_store.read() == Versioned(FIRST.renewed({}), version)


async def test_an_old_version_stays_old_however_often_it_was_replaced(
    lease_store: LeaseStore,
) -> None:
    old = version = await written(lease_store, FIRST, None)
    record = FIRST
    for _ in range(30):
        record = record.renewed({})
        version = await written(lease_store, record, version)
    assert await lease_store.write(Record("late", 2, 0, 15.0), old) is None
    assert await lease_store.read() == Versioned(record, version)


@pytest.mark.parametrize("begun", [False, True])
async def test_of_many_at_once_one_writes(
    lease_store: LeaseStore, another: Open, begun: bool, request: pytest.FixtureRequest
) -> None:
    # moto compares and writes without a lock, so that two of several may win there.
    writers = 1 if "moto" in request.node.name else 10
    expected = await written(lease_store, FIRST, None) if begun else None
    versions: dict[str, str | None] = {}

    async def try_to_write(holder: str) -> None:
        versions[holder] = await another().write(Record(holder, 2, 0, 15.0), expected)

    async with anyio.create_task_group() as tasks:
        for number in range(writers):
            tasks.start_soon(try_to_write, f"agent-{number}")
    ((winner, version),) = [(who, one) for who, one in versions.items() if one is not None]
    found = await lease_store.read()
    assert found is not None
    assert (found.record.holder, found.version) == (winner, version)


async def test_it_is_no_snapshot(lease_store: LeaseStore, kept: Kept) -> None:
    await written(lease_store, FIRST, None)
    if isinstance(kept, InStorage):
        entries = await kept.destination.open("prod/").entries()
        assert catalogue((entry.name, entry.size) for entry in entries) == ()


async def test_once_it_was_deleted_nobody_goes_on_with_it(
    lease_store: LeaseStore, kept: Kept
) -> None:
    version = await written(lease_store, FIRST, None)
    await kept.delete()
    assert await lease_store.read() is None
    assert await lease_store.write(FIRST.renewed({}), version) is None


async def test_the_location_is_told(lease_store: LeaseStore, kept: Kept) -> None:
    folder = "/prod" if isinstance(kept, InStorage) else f":{NAMESPACE}"
    await lease_store.read()
    assert f"{folder}/{NAME}" in lease_store.location


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = SETTINGS.validate_python({"type": "local", "path": str(tmp_path / "file")})
    with pytest.raises(StorageError, match="cannot write the lease"):
        await settings.lease_store(NAME).write(FIRST, None)


async def test_a_folder_whose_disk_is_gone_is_no_missing_record_and_is_not_made_again(
    tmp_path: Path,
) -> None:
    settings = SETTINGS.validate_python({"type": "local", "path": str(tmp_path / "disk")})
    settings.prepare()
    lease_store = settings.lease_store(NAME)
    version = await written(lease_store, FIRST, None)
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    with pytest.raises(StorageError, match=r"cannot read the lease record .*disk does not exist"):
        await lease_store.read()
    for expected in (None, version):
        with pytest.raises(StorageError, match=r"cannot write the lease record .*No such file"):
            await lease_store.write(FIRST.renewed({}), expected)
    assert not (tmp_path / "disk").exists()


async def test_a_store_that_is_not_there_is_told() -> None:
    settings = SETTINGS.validate_python(
        {
            "type": "s3",
            "bucket": "b",
            "endpoint": "http://127.0.0.1:9",
            "access_key_id": "a",
            "secret_access_key": "b",
            "timeout": "1s",
        }
    )
    with pytest.raises(
        AgentError, match=r"cannot read the lease record s3://b/raft-snapshot-lease\.json"
    ):
        await settings.lease_store(NAME).read()


@pytest.mark.parametrize("kind", ["s3", "moto", "azure", "gcs"])
async def test_a_bucket_that_is_missing_is_no_missing_record(
    kind: str, request: pytest.FixtureRequest
) -> None:
    destination = _place(kind, request)
    settings = destination.settings("prod/")
    lease_store = SETTINGS.validate_python(settings).lease_store(NAME)
    version = await written(lease_store, FIRST, None)
    key = "container" if kind == "azure" else "bucket"
    elsewhere = SETTINGS.validate_python({**settings, key: "there-is-none"}).lease_store(NAME)
    with pytest.raises(StorageError, match=f"cannot read the lease record .*{key}|does not exist"):
        await elsewhere.read()
    with pytest.raises(StorageError, match="cannot write the lease record"):
        await elsewhere.write(FIRST, None)
    with suppress(StorageError):
        assert await elsewhere.write(FIRST, version) is None


async def test_what_no_agent_wrote_is_not_fetched(s3: S3) -> None:
    huge = b"{" + b" " * (2 << 20)
    s3.client.put_object(Bucket=s3.bucket, Key=f"prod/{NAME}.json", Body=huge)
    found = await SETTINGS.validate_python(s3.settings("prod/")).lease_store(NAME).read()
    assert found.record == Record("unknown", 0, 0, 60.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "sftp", "host": "h", "path": "/p", "username": "u", "password": "p"},
        {"type": "webdav", "url": "https://h/p"},
    ],
)
def test_what_cannot_keep_one_says_so(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="cannot keep a lease"):
        SETTINGS.validate_python({**settings, "name": "far"}).lease_store(NAME)
