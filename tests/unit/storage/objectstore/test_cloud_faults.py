"""What Google's and Azure's stores do when they, or the way to them, are not well.

After every failure the store itself is asked, past the agent, what is visible there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contract.destinations import Azure, Gcs
from tests.contract.sources import MIB, NAME, bytes_of, content, put_of
from tests.http_proxy import Exchange, Request
from tests.patience import impatient  # noqa: F401 - no test here is about waits
from tests.s3_faults import S3Faults
from tests.tcp_proxy import CuttingTcpProxy

from raft_snapshot_agent.errors import StorageDenied, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import BytesSource, Storage

SIZE = 32 * MIB
FORBIDDEN = ("\n", "Debug", "RetryError", "<", "?", "Authorization", "sig=")


@dataclass
class Cloud:
    """A store, and the same one behind a proxy that fails what a test wants."""

    place: Gcs | Azure
    faults: S3Faults
    rights: str
    """What a hint names when they are missing."""
    path: str
    """Of the endpoint."""

    def open(self, **more: Any) -> Storage:
        settings = {"timeout": "20s", "endpoint": self.faults.address + self.path, **more}
        return self.place.open(**settings)

    @property
    def parts(self) -> int:
        """Into how many `SIZE` is cut."""
        return 1 if isinstance(self.place, Gcs) else 3

    def is_part(self, request: Request) -> bool:
        if isinstance(self.place, Gcs):
            return request.method == "PUT" and _range(request).endswith("/*")
        return request.method == "PUT" and request.query.get("comp") == ["block"]

    def is_end(self, request: Request) -> bool:
        """Tell the request that makes an object of the parts."""
        if isinstance(self.place, Gcs):
            return request.method == "PUT" and not _range(request).endswith("/*")
        return request.query.get("comp") == ["blocklist"]

    def describes(self, request: Request) -> bool:
        """Tell the request whose answer says what was stored."""
        return request.method == ("POST" if isinstance(self.place, Gcs) else "HEAD")


def _range(request: Request) -> str:
    return request.headers.get("Content-Range", "")


@pytest.fixture(params=["gcs", "azure"])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    place: Gcs | Azure = request.getfixturevalue(request.param)
    with S3Faults(place.server.endpoint) as faults:
        if isinstance(place, Azure):
            yield Cloud(place, faults, "Storage Blob Data Contributor", f"/{place.server.account}")
        else:
            yield Cloud(place, faults, "storage.objects.create", "")


def everything(_: Request) -> bool:
    return True


def is_no_write(request: Request) -> bool:
    """Tell all but what stores; Azure's library deletes by POST."""
    return request.method not in {"PUT", "POST"} or request.query.get("comp") == ["batch"]


def reset(exchange: Exchange) -> None:
    """Close the connection while the request is still being sent."""
    exchange.cut()


async def test_credentials_that_may_only_write_are_enough_for_a_put(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.faults.fail(is_no_write, 403)
    storage = cloud.open()
    assert await put_of(storage, tmp_path, SIZE) == SIZE
    assert await storage.put(f"{NAME}.json", BytesSource(b"{}")) == 2
    for refused in (storage.entries(), storage.delete(NAME), anext(storage.read(NAME))):
        with pytest.raises(StorageDenied) as caught:
            await refused
        assert cloud.rights in caught.value.hint
    assert await content(cloud.place.open()) == bytes_of(SIZE)


@pytest.mark.parametrize("size", [3, SIZE])
async def test_a_put_that_is_denied_leaves_nothing(cloud: Cloud, tmp_path: Path, size: int) -> None:
    cloud.faults.fail(everything, 403)
    with pytest.raises(StorageDenied) as caught:
        await put_of(cloud.open(), tmp_path, size)
    assert "access denied (403" in caught.value.message
    assert cloud.rights in caught.value.hint
    assert not any(mark in str(caught.value) for mark in FORBIDDEN)
    assert cloud.place.keys() == []


async def test_parts_that_fail_are_sent_again(cloud: Cloud, tmp_path: Path) -> None:
    cloud.faults.fail(cloud.is_part, 503, times=2)
    assert await put_of(cloud.open(), tmp_path, SIZE) == SIZE
    assert await content(cloud.place.open()) == bytes_of(SIZE)
    assert len([one for one in cloud.faults.requests if cloud.is_part(one)]) == cloud.parts + 2


async def test_parts_that_are_cut_off_are_sent_again(cloud: Cloud, tmp_path: Path) -> None:
    cloud.faults.behave(cloud.is_part, reset, times=2)
    assert await put_of(cloud.open(), tmp_path, SIZE) == SIZE
    assert await content(cloud.place.open()) == bytes_of(SIZE)


@pytest.mark.parametrize("failing", [Cloud.is_part, Cloud.is_end])
async def test_a_storm_of_503_leaves_nothing(
    cloud: Cloud, tmp_path: Path, failing: Callable[[Cloud, Request], bool]
) -> None:
    cloud.faults.fail(lambda request: failing(cloud, request), 503)
    with pytest.raises(StorageUnavailable) as caught:
        await put_of(cloud.open(), tmp_path, SIZE)
    assert "the store answered 503" in caught.value.message
    assert not any(mark in str(caught.value) for mark in FORBIDDEN)
    assert cloud.place.keys() == []
    assert cloud.place.pending() == []


async def test_parts_that_are_always_cut_off_leave_nothing(cloud: Cloud, tmp_path: Path) -> None:
    cloud.faults.behave(cloud.is_part, reset)
    with pytest.raises(StorageUnavailable) as caught:
        await put_of(cloud.open(), tmp_path, SIZE)
    assert not any(mark in str(caught.value) for mark in FORBIDDEN)
    assert cloud.place.keys() == []
    assert cloud.place.pending() == []


async def test_a_put_that_hangs_half_way_is_given_up(cloud: Cloud, tmp_path: Path) -> None:
    cloud.faults.hang(cloud.is_part)
    with anyio.fail_after(60), pytest.raises(StorageUnavailable):
        await put_of(cloud.open(timeout="1s"), tmp_path, SIZE)
    assert cloud.place.keys() == []
    assert cloud.place.pending() == []


async def test_a_line_that_is_cut_for_good_leaves_nothing_to_be_seen(
    cloud: Cloud, tmp_path: Path
) -> None:
    host, _, port = cloud.faults.address.removeprefix("http://").partition(":")
    with CuttingTcpProxy(host, int(port)) as line:
        line.limit_bytes = 16 * MIB
        endpoint = line.address + cloud.path
        with pytest.raises(StorageUnavailable):
            await put_of(cloud.open(endpoint=endpoint, timeout="2s"), tmp_path, SIZE)
        assert cloud.place.keys() == []
        line.restore()
        assert await put_of(cloud.open(endpoint=endpoint), tmp_path, 14 * MIB) == 14 * MIB
    assert await content(cloud.place.open()) == bytes_of(14 * MIB)


@pytest.mark.parametrize(
    "verb",
    [
        lambda storage: storage.put(NAME, BytesSource(b"snapshot")),
        lambda storage: storage.entries(),
        lambda storage: anext(storage.read(NAME)),
        lambda storage: storage.delete(NAME),
    ],
)
async def test_a_store_that_hangs_is_given_up(
    cloud: Cloud, verb: Callable[[Storage], Awaitable[object]]
) -> None:
    cloud.faults.hang(everything)
    with anyio.fail_after(30), pytest.raises(StorageUnavailable) as caught:
        await verb(cloud.open(timeout="500ms"))
    assert "no answer in time" in caught.value.message
    assert "timeout" in caught.value.hint


async def test_a_store_that_refuses_connections_is_told(cloud: Cloud) -> None:
    storage = cloud.open(endpoint="http://127.0.0.1:1", timeout="1s")
    with pytest.raises(StorageUnavailable) as caught:
        await storage.put(NAME, BytesSource(b"snapshot"))
    assert "no connection to" in caught.value.message
    assert "127.0.0.1:1" in caught.value.message


async def test_a_stream_that_is_cut_goes_on_where_it_was(cloud: Cloud, tmp_path: Path) -> None:
    await put_of(cloud.place.open(), tmp_path, 14 * MIB)

    def cut(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.begin(answer.status, answer.getheaders())
        exchange.send(answer.read(5 * MIB))
        exchange.cut()

    cloud.faults.behave(lambda request: request.method == "GET", cut, times=1)
    assert await content(cloud.open()) == bytes_of(14 * MIB)
    assert len(cloud.faults.requests) == 2


async def test_an_object_that_arrived_short_is_removed(cloud: Cloud) -> None:
    def short(exchange: Exchange) -> None:
        answer = exchange.forward()
        body = answer.read().replace(b'"size":"8"', b'"size":"5"')
        headers = {name.lower(): value for name, value in answer.getheaders()}
        headers["content-length"] = str(len(body) or 5)
        exchange.answer(answer.status, headers.items(), body)

    cloud.faults.behave(cloud.describes, short)
    with pytest.raises(StorageError, match="holds 5 bytes of 8 sent"):
        await cloud.open().put(NAME, BytesSource(b"snapshot"))
    assert cloud.place.keys() == []
