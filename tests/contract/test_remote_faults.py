"""What every object store promises when the store or the network fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.contract.destinations import S3, Azure, Gcs
from tests.contract.sources import MIB, NAME, bytes_of, content, put_of
from tests.http_proxy import Exchange, Request
from tests.s3_faults import S3Faults

from raft_snapshot_agent.errors import StorageDenied, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.retrying import RetryingStorage

_MOMENT = timedelta(milliseconds=10)


@dataclass(frozen=True, slots=True)
class Broken:
    """A place, and a proxy before it that fails what a test wants."""

    destination: S3 | Gcs | Azure
    faults: S3Faults
    path: str

    def open(self, **more: Any) -> Storage:
        storage = self.destination.open(endpoint=self.faults.address + self.path, **more)
        # Some ask again by themselves; for the others, what the agent wraps round every storage does.
        return (
            RetryingStorage(storage, wait=_MOMENT) if isinstance(self.destination, Gcs) else storage
        )


@pytest.fixture(params=["s3", "moto", "gcs", "azure"])
def broken(request: pytest.FixtureRequest) -> Iterator[Broken]:
    destination = request.getfixturevalue(request.param)
    url = urlsplit(destination.settings()["endpoint"])
    with S3Faults(f"{url.scheme}://{url.netloc}") as faults:
        yield Broken(destination, faults, url.path)


def everything(_: Request) -> bool:
    return True


def is_part(request: Request) -> bool:
    """Tell whether a part of a larger upload is sent, in the words of each store."""
    marks = {"partNumber", "blockid", "upload_id"}
    return request.method == "PUT" and bool(marks & request.query.keys())


def writes(request: Request) -> bool:
    return request.method in {"PUT", "POST"} and request.query.get("comp") != ["batch"]


def hang_up(exchange: Exchange) -> None:
    """Hang up in the midst of a request."""
    exchange.cut()


@pytest.mark.parametrize("size", [3, 20 * MIB])
async def test_a_store_that_is_always_busy_gets_nothing(
    broken: Broken, tmp_path: Path, size: int
) -> None:
    broken.faults.fail(everything)
    with pytest.raises(StorageUnavailable):
        await put_of(broken.open(timeout="2s"), tmp_path, size)
    assert broken.destination.keys() == []
    assert broken.destination.pending() == []


async def test_a_store_that_is_busy_for_a_while_gets_all(broken: Broken, tmp_path: Path) -> None:
    broken.faults.fail(writes, times=2)
    assert await put_of(broken.open(), tmp_path, 20 * MIB) == 20 * MIB
    assert await content(broken.destination.open()) == bytes_of(20 * MIB)


async def test_a_store_that_refuses_parts_keeps_none(broken: Broken, tmp_path: Path) -> None:
    broken.faults.fail(is_part, 403)
    with pytest.raises(StorageDenied):
        await put_of(broken.open(), tmp_path, 20 * MIB)
    assert broken.destination.keys() == []
    assert broken.destination.pending() == []


async def test_a_store_that_hangs_up_within_a_part_is_asked_again(
    broken: Broken, tmp_path: Path
) -> None:
    broken.faults.behave(is_part, hang_up, times=1)
    assert await put_of(broken.open(), tmp_path, 20 * MIB) == 20 * MIB
    assert await content(broken.destination.open()) == bytes_of(20 * MIB)


async def test_a_store_that_never_answers_is_given_up(broken: Broken) -> None:
    broken.faults.hang(everything)
    with pytest.raises(StorageUnavailable):
        await broken.open(timeout="1s").put(NAME, BytesSource(b"snapshot"))
    broken.faults.heal()
    assert broken.destination.keys() == []


async def test_credentials_that_may_only_write_are_enough(broken: Broken, tmp_path: Path) -> None:
    broken.faults.fail(lambda request: not writes(request), 403)
    storage = broken.open()
    assert await put_of(storage, tmp_path, 20 * MIB) == 20 * MIB
    await storage.put(f"{NAME}.json", BytesSource(b"{}"))
    with pytest.raises(StorageDenied):
        await storage.entries()
    with pytest.raises(StorageDenied):
        await content(storage)
    assert await storage.sweep(Leftovers()) == 0
    assert await content(broken.destination.open()) == bytes_of(20 * MIB)


async def test_an_error_shows_no_credentials(broken: Broken) -> None:
    broken.faults.fail(everything, 403)
    with pytest.raises(StorageError) as caught:
        await broken.open().entries()
    for mark in ("Signature", "Bearer", "SharedKey", "sig="):
        assert mark not in str(caught.value)
