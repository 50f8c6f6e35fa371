"""Whatever S3 is asked: its answer is bounded, and what is sent to it goes nowhere else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adversary.s3 import Store, answer
from tests.contract.destinations import SETTINGS
from tests.contract.sources import MIB, NAME, put_of
from tests.http_proxy import Exchange, Request
from tests.raw_server import OK, RawServer, endless, whole

from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.s3.s3 import connect
from raft_snapshot_agent.storage.s3.versions import versioning
from raft_snapshot_agent.threads import in_thread

KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
Ask = Callable[[Any], Awaitable[object]]


def settings(address: str, **more: Any) -> Any:
    common = {
        "type": "s3",
        "bucket": "vault-backups",
        "endpoint": address,
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "secret",
        "session_token": "A-SESSION-TOKEN",
        "sse_customer_key": KEY,
        "timeout": "2s",
    }
    return SETTINGS.validate_python({**common, **more})


ASKED: dict[str, Ask] = {
    "put": lambda one: one.open().put(NAME, BytesSource(b"snapshot")),
    "entries": lambda one: one.open().entries(),
    "read": lambda one: anext(one.open().read(NAME)),
    "delete": lambda one: one.open().delete(NAME),
    "sweep": lambda one: one.open().sweep(Leftovers()),
    "lease read": lambda one: one.lease_store("lease").read(),
    "lease write": lambda one: one.lease_store("lease").write(Record("a", 1, 0, 15.0), None),
    "lease delete": lambda one: one.lease_store("lease").probe("p").delete(),
    "lease sweep": lambda one: one.lease_store("lease").probe("p").sweep(),
    "versions": lambda one: in_thread(lambda: versioning(connect(one), "")),
}
EACH = pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)


@EACH
@pytest.mark.parametrize("status", [b"400 Bad", b"307 Temporary Redirect"])
async def test_a_refusal_without_an_end_is_cut(ask: Ask, status: bytes) -> None:
    head = b"HTTP/1.1 %b\r\nContent-Length: 2147483648\r\n\r\n" % status
    with RawServer(endless(head, b"x" * 65536)) as server:
        with pytest.raises(StorageError):
            await ask(settings(server.address))
        assert server.sent < 32 * MIB


@EACH
@pytest.mark.parametrize("status", [303, 307])
async def test_a_redirect_is_told_and_not_followed(ask: Ask, status: int) -> None:
    with Store("elsewhere") as other:
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {other.address}/x\r\nContent-Length: 0\r\n"
        with (
            RawServer(whole(f"{head}\r\n".encode())) as server,
            pytest.raises(StorageError, match=f"{status}.*{other.address}"),
        ):
            await ask(settings(server.address))
        assert other.requests == []


@EACH
async def test_a_redirect_to_another_region_names_it(ask: Ask) -> None:
    head = b"HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-west-1\r\nContent-Length: 0\r\n\r\n"
    with RawServer(whole(head)) as server, pytest.raises(StorageError) as caught:
        await ask(settings(server.address))
    assert caught.value.hint == "set region: eu-west-1"


def parts_of(request: Request) -> str:
    query = request.query
    begun = "begin" if "uploads" in query else "complete"
    return "part" if "partNumber" in query else begun


@pytest.mark.parametrize("step", ["begin", "part", "complete"])
@pytest.mark.parametrize("status", [200, 307])
async def test_each_step_of_an_upload_is_judged(step: str, status: int, tmp_path: Path) -> None:
    """A success without what it has to tell is none, and nobody is followed."""
    with Store("elsewhere") as other, Store() as store:

        def odd(exchange: Exchange) -> None:
            exchange.body()
            headers = [("Location", f"{other.address}/x"), ("Content-Length", "0")]
            exchange.answer(status, headers, b"")

        def is_step(request: Request) -> bool:
            return request.method in {"PUT", "POST"} and parts_of(request) == step

        store.rules = [(is_step, odd)]
        with pytest.raises(StorageError):
            await put_of(settings(store.address).open(), tmp_path, 30 * MIB)
        assert other.requests == []
        assert store.files == {}


async def test_an_upload_that_failed_after_200_is_none(tmp_path: Path) -> None:
    """Source: `CompleteMultipartUpload` of the S3 API."""
    document = b"<Error><Code>InternalError</Code><Message>later</Message></Error>"
    with Store() as store:
        store.rules = [
            (lambda request: "uploadId" in request.query and request.method == "POST",
             lambda exchange: answer(exchange, 200, document)),
        ]  # fmt: skip
        with pytest.raises(StorageError, match="InternalError later"):
            await put_of(settings(store.address).open(), tmp_path, 30 * MIB)


async def test_a_role_does_not_follow_a_redirect_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("a-pod-identity-token")
    with Store("elsewhere") as other:
        head = f"HTTP/1.1 307 Moved\r\nLocation: {other.address}/x\r\nContent-Length: 0\r\n\r\n"
        with RawServer(whole(head.encode())) as server:
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.address}/keys")
            monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
            nobody = {"access_key_id": None, "secret_access_key": None, "session_token": None}
            with pytest.raises(StorageError, match="no keys for the role: the answer was 307"):
                await settings(server.address, **nobody).open().entries()
        assert other.requests == []


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, json.dumps(
    {"AccessKeyId": 1, "SecretAccessKey": "s", "Token": "t", "Expiration": "soon"}).encode()])  # fmt: skip
async def test_what_a_platform_answers_may_be_no_keys(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = OK + b"Content-Length: %d\r\n\r\n" % len(said)
    with RawServer(whole(head + said)) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.address}/keys")
        nobody = {"access_key_id": None, "secret_access_key": None, "session_token": None}
        with pytest.raises(StorageError, match="no keys for the role: the answer holds no keys"):
            await settings(server.address, **nobody).open().entries()


def test_the_time_for_a_request_is_the_storages() -> None:
    assert connect(settings("http://127.0.0.1:1")).store.timeout == timedelta(seconds=2)
