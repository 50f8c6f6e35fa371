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
from tests.contract.places import S3, SETTINGS, Place
from tests.kube import NAMESPACE, Kube

from raft_snapshot_agent.core.lease import LeaseStore, Record, Versioned
from raft_snapshot_agent.core.naming import catalogue
from raft_snapshot_agent.errors import AgentError, ConfigError, StorageError
from raft_snapshot_agent.lease.settings import KubernetesLease

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
    place: Place

    def open(self) -> LeaseStore:
        settings = SETTINGS.validate_python(self.place.settings("prod/"))
        if settings.type == "local":
            settings.prepare()
        found: LeaseStore = settings.register(NAME)
        return found

    async def delete(self) -> None:
        location = self.open().location
        if location.startswith("/"):
            for path in Path(location).iterdir():  # noqa: ASYNC240
                path.unlink()
        else:
            await self.place.open("prod/").delete(f"{NAME}.json")


@dataclass(frozen=True)
class InKubernetes:
    kube: Kube

    def open(self) -> LeaseStore:
        return KubernetesLease(type="kubernetes").register(())

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
    for register in opened:
        await register.close()


@pytest.fixture
def register(another: Open) -> LeaseStore:
    return another()


async def written(register: LeaseStore, record: Record, expected: str | None) -> str:
    version = await register.write(record, expected)
    assert version is not None
    return version


async def test_at_first_there_is_none(register: LeaseStore) -> None:
    assert await register.read() is None


async def test_what_is_written_is_read_by_every_agent(register: LeaseStore, another: Open) -> None:
    version = await written(register, FIRST, None)
    assert await register.read() == await another().read() == Versioned(FIRST, version)


async def test_only_one_can_make_it(register: LeaseStore, another: Open) -> None:
    version = await written(register, FIRST, None)
    assert await another().write(Record("second", 1, 0, 15.0), None) is None
    assert await register.read() == Versioned(FIRST, version)


async def test_it_goes_on_from_what_was_expected(register: LeaseStore, another: Open) -> None:
    version = await written(register, FIRST, None)
    for _ in range(25):
        found = await another().read()
        assert found is not None
        assert found.version == version
        renewed = found.record.renewed({"disk": "2026-11-25T12:00:00+00:00"})
        version = await written(register, renewed, version)
        assert await register.read() == Versioned(renewed, version)


async def test_who_expects_what_was_replaced_writes_nothing(
    register: LeaseStore, another: Open
) -> None:
    old = await written(register, FIRST, None)
    version = await written(register, FIRST.renewed({}), old)
    for expected in (old, None):
        assert await another().write(Record("late", 2, 0, 15.0), expected) is None
    assert await register.read() == Versioned(FIRST.renewed({}), version)


async def test_an_old_version_stays_old_however_often_it_was_replaced(register: LeaseStore) -> None:
    old = version = await written(register, FIRST, None)
    record = FIRST
    for _ in range(30):
        record = record.renewed({})
        version = await written(register, record, version)
    assert await register.write(Record("late", 2, 0, 15.0), old) is None
    assert await register.read() == Versioned(record, version)


@pytest.mark.parametrize("begun", [False, True])
async def test_of_many_at_once_one_writes(register: LeaseStore, another: Open, begun: bool) -> None:
    expected = await written(register, FIRST, None) if begun else None
    versions: dict[str, str | None] = {}

    async def try_to_write(holder: str) -> None:
        versions[holder] = await another().write(Record(holder, 2, 0, 15.0), expected)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(try_to_write, f"agent-{number}")
    ((winner, version),) = [(who, one) for who, one in versions.items() if one is not None]
    found = await register.read()
    assert found is not None
    assert (found.record.holder, found.version) == (winner, version)


async def test_it_is_no_snapshot(register: LeaseStore, kept: Kept) -> None:
    await written(register, FIRST, None)
    if isinstance(kept, InStorage):
        entries = await kept.place.open("prod/").entries()
        assert catalogue((entry.name, entry.size) for entry in entries) == ()


async def test_once_it_was_deleted_nobody_goes_on_with_it(register: LeaseStore, kept: Kept) -> None:
    version = await written(register, FIRST, None)
    await kept.delete()
    assert await register.read() is None
    assert await register.write(FIRST.renewed({}), version) is None


async def test_the_location_is_told(register: LeaseStore, kept: Kept) -> None:
    folder = "/prod" if isinstance(kept, InStorage) else f":{NAMESPACE}"
    await register.read()
    assert f"{folder}/{NAME}" in register.location


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = SETTINGS.validate_python({"type": "local", "path": str(tmp_path / "file")})
    with pytest.raises(StorageError, match="cannot write the lease"):
        await settings.register(NAME).write(FIRST, None)


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
        await settings.register(NAME).read()


@pytest.mark.parametrize("kind", ["s3", "moto", "azure", "gcs"])
async def test_a_bucket_that_is_missing_is_no_missing_record(
    kind: str, request: pytest.FixtureRequest
) -> None:
    place = _place(kind, request)
    settings = place.settings("prod/")
    register = SETTINGS.validate_python(settings).register(NAME)
    version = await written(register, FIRST, None)
    key = "container" if kind == "azure" else "bucket"
    elsewhere = SETTINGS.validate_python({**settings, key: "there-is-none"}).register(NAME)
    with pytest.raises(StorageError, match=f"cannot read the lease record .*{key}|does not exist"):
        await elsewhere.read()
    with pytest.raises(StorageError, match="cannot write the lease record"):
        await elsewhere.write(FIRST, None)
    with suppress(StorageError):
        assert await elsewhere.write(FIRST, version) is None


async def test_what_no_agent_wrote_is_not_fetched(s3: S3) -> None:
    huge = b"{" + b" " * (2 << 20)
    s3.client.put_object(Bucket=s3.bucket, Key=f"prod/{NAME}.json", Body=huge)
    found = await SETTINGS.validate_python(s3.settings("prod/")).register(NAME).read()
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
        SETTINGS.validate_python({**settings, "name": "far"}).register(NAME)
