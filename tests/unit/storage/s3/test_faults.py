from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from tests.contract.destinations import S3
from tests.contract.sources import MIB, NAME, Watched, beside, bytes_of, content, put_of
from tests.http_proxy import Behaviour, Exchange, Request, pass_through, status
from tests.s3_faults import S3Faults

from raft_snapshot_agent.errors import (
    SnapshotNotFound,
    Stopped,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.http import body
from raft_snapshot_agent.storage.http.parts import PART

FORBIDDEN = re.compile(r"Signature=|X-Amz|\?|\n|Debug|RetryError|<|Credential=")


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber" in request.query


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def is_get(request: Request) -> bool:
    return request.method == "GET" and request.path.endswith(NAME)


def is_head(request: Request) -> bool:
    return request.method == "HEAD"


def everything(_: Request) -> bool:
    return True


def late(exchange: Exchange) -> None:
    """Take the request up only after a while."""
    exchange.pause(0.3)
    pass_through(exchange)


def stored(exchange: Exchange, size: int = 0) -> None:
    """Answer as if an object of that many bytes had been stored."""
    headers = [
        ("ETag", '"x"'),
        ("Last-Modified", "Mon, 23 Nov 2026 15:30:00 GMT"),
        ("Content-Length", str(size)),
    ]
    exchange.answer(200, headers, b"")


async def test_encryption_is_asked_for(s3: S3, faults: S3Faults) -> None:
    faults.behave(is_put, stored)
    faults.behave(is_head, stored)
    storage = s3.open(
        endpoint=faults.address, server_side_encryption="aws:kms", kms_key_id="alias/backups"
    )
    await storage.put(NAME, BytesSource(b""))
    headers = faults.requests[0].headers
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/backups"


async def test_parts_that_fail_are_sent_again(s3: S3, faults: S3Faults, tmp_path: Path) -> None:
    faults.fail(is_part, 500, times=2)
    storage = s3.open(endpoint=faults.address)
    assert await put_of(storage, tmp_path, 40 * MIB) == 40 * MIB
    assert await content(s3.open()) == bytes_of(40 * MIB)
    assert len([request for request in faults.requests if is_part(request)]) == 6


async def test_parts_that_keep_failing_leave_nothing(
    s3: S3, faults: S3Faults, tmp_path: Path
) -> None:
    faults.fail(is_part, 503)
    with pytest.raises(StorageUnavailable) as caught:
        await put_of(s3.open(endpoint=faults.address, timeout="2s"), tmp_path, 40 * MIB)
    assert "503 SlowDown a test wants this" in caught.value.message
    assert not FORBIDDEN.search(str(caught.value))
    assert s3.keys() == []
    assert s3.pending() == []


async def test_every_byte_is_sent_with_a_checksum(
    s3: S3, faults: S3Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_UNSIGNED_PAYLOAD", "true")
    storage = s3.open(endpoint=faults.address)
    await put_of(storage, tmp_path, 13 * MIB)
    await storage.put(f"{NAME}.json", BytesSource(b"{}"))
    sent = {
        request.headers["x-amz-content-sha256"] for request in faults.requests if is_put(request)
    }
    snapshot = bytes_of(13 * MIB)
    parts = (snapshot[:PART], snapshot[PART:], b"{}")
    assert sent == {hashlib.sha256(part).hexdigest() for part in parts}


_STORE = """
import resource, sys
from pathlib import Path
import anyio
from pydantic import TypeAdapter
from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.storage import AnyStorage

settings, folder, mebibytes = sys.argv[1:]
with Spool.create(Path(folder), "0a1b2c") as spool:
    for _ in range(int(mebibytes)):
        spool.write(bytes(1 << 20))
    spool.complete()
    spool.accept(Snapshot(ArchiveMeta(1, 1, 1), 1, "sha"))
    anyio.run(TypeAdapter(AnyStorage).validate_json(settings).open().put, "a.snap", spool)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.soak
def test_memory_does_not_grow_when_the_store_is_slow(
    s3: S3, faults: S3Faults, tmp_path: Path
) -> None:
    faults.behave(is_part, late)
    stored = json.dumps(s3.settings(endpoint=faults.address))

    def peak(mebibytes: int) -> int:
        arguments = [sys.executable, "-c", _STORE, stored, str(tmp_path), str(mebibytes)]
        return int(subprocess.run(arguments, check=True, capture_output=True).stdout)

    assert peak(180) - peak(60) < 30


async def test_a_store_that_refuses_connections_is_told(s3: S3) -> None:
    storage = s3.open(endpoint="http://127.0.0.1:1", timeout="1s")
    with pytest.raises(StorageUnavailable) as caught:
        await storage.put(NAME, BytesSource(b"snapshot"))
    assert caught.value.message == (
        f"cannot store {NAME} in s3://{s3.bucket}/: "
        "no connection to 127.0.0.1:1: Connection refused"
    )
    assert "endpoint" in caught.value.hint


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
    s3: S3, faults: S3Faults, verb: Callable[[Storage], Awaitable[object]]
) -> None:
    faults.hang(everything)
    storage = s3.open(endpoint=faults.address, timeout="500ms")
    with anyio.fail_after(30), pytest.raises(StorageUnavailable) as caught:
        await verb(storage)
    assert "no answer in time" in caught.value.message
    assert "timeout" in caught.value.hint


async def test_a_put_that_hangs_half_way_is_given_up(
    s3: S3, faults: S3Faults, tmp_path: Path
) -> None:
    faults.hang(is_part)
    storage = s3.open(endpoint=faults.address, timeout="1s")
    with anyio.fail_after(60), pytest.raises(StorageUnavailable):
        await put_of(storage, tmp_path, 30 * MIB)
    assert s3.keys() == []
    assert s3.pending() == []


async def test_a_stream_that_is_cut_goes_on_where_it_was(
    s3: S3, faults: S3Faults, tmp_path: Path
) -> None:
    await put_of(s3.open(), tmp_path, 14 * MIB)

    def cut(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.begin(answer.status, answer.getheaders())
        exchange.send(answer.read(5 * MIB))
        exchange.cut()

    faults.behave(is_get, cut, times=1)
    assert await content(s3.open(endpoint=faults.address)) == bytes_of(14 * MIB)
    assert [request.headers["range"] for request in faults.requests if is_get(request)] == [
        None,
        f"bytes={5 * MIB}-",
    ]


async def test_a_long_stream_may_take_longer_than_one_request(
    s3: S3, faults: S3Faults, tmp_path: Path
) -> None:
    await put_of(s3.open(), tmp_path, 6 * MIB)

    def slowly(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.begin(answer.status, answer.getheaders())
        for _ in range(6):
            exchange.pause(0.25)
            exchange.send(answer.read(MIB))

    faults.behave(is_get, slowly)
    storage = s3.open(endpoint=faults.address, timeout="1s")
    assert await content(storage) == bytes_of(6 * MIB)
    assert len(faults.requests) == 1


async def test_an_object_that_arrived_short_is_removed(s3: S3, faults: S3Faults) -> None:
    faults.behave(is_head, lambda exchange: stored(exchange, 5))
    with pytest.raises(StorageError) as caught:
        await s3.open(endpoint=faults.address).put(NAME, BytesSource(b"snapshot"))
    assert caught.value.message == f"s3://{s3.bucket}/{NAME} holds 5 bytes of 8 sent"
    assert s3.keys() == []


def renamed(exchange: Exchange) -> None:
    """Take a part, and answer with the ETag of another."""
    answer = exchange.forward()
    answer.read()
    other = hashlib.md5(b"another part", usedforsecurity=False).hexdigest()
    exchange.answer(200, [("ETag", f'"{other}"'), ("Content-Length", "0")], b"")


def mismatch(code: str) -> Behaviour:
    """Refuse a body that does not fit its checksum."""
    said = f"<Error><Code>{code}</Code><Message>The checksums differ.</Message></Error>"
    return status(400, said.encode())


@pytest.mark.parametrize("size", [8, 30 * MIB], ids=["one request", "several parts"])
@pytest.mark.parametrize("code", ["BadDigest", "XAmzContentSHA256Mismatch"])
async def test_bytes_that_do_not_fit_their_checksum_leave_nothing(
    s3: S3, faults: S3Faults, tmp_path: Path, code: str, size: int
) -> None:
    faults.behave(
        lambda request: is_put(request) and request.query.get("partNumber") in (None, ["2"]),
        mismatch(code),
    )
    with pytest.raises(StorageError) as caught:
        await put_of(s3.open(endpoint=faults.address), tmp_path, size)
    assert f"the store answered 400 {code} The checksums differ." in caught.value.message
    assert not FORBIDDEN.search(str(caught.value))
    assert s3.keys() == []
    assert s3.pending() == []


async def test_a_part_whose_etag_is_not_its_own_leaves_nothing(
    s3: S3, faults: S3Faults, tmp_path: Path
) -> None:
    faults.behave(lambda request: request.query.get("partNumber") == ["2"], renamed)
    with pytest.raises(StorageError) as caught:
        await put_of(s3.open(endpoint=faults.address), tmp_path, 30 * MIB)
    assert not FORBIDDEN.search(str(caught.value))
    assert s3.keys() == []
    assert s3.pending() == []


async def test_an_object_that_is_not_there_afterwards_is_told(s3: S3, faults: S3Faults) -> None:
    faults.fail(is_head, 404)
    with pytest.raises(StorageError, match="holds 0 bytes of 8 sent"):
        await s3.open(endpoint=faults.address).put(NAME, BytesSource(b"snapshot"))


ODD = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><CommonPrefixes>"
    b"<Prefix>vault//</Prefix></CommonPrefixes><Contents><Key>vault/..</Key><Size>1</Size>"
    b"<LastModified>2026-01-01T00:00:00Z</LastModified>"
    b"</Contents><Contents><Key>vault/a.snap</Key><Size>2</Size>"
    b"<LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>"
)


async def test_keys_of_any_form_do_not_end_a_list(s3: S3, faults: S3Faults) -> None:
    faults.behave(everything, status(200, ODD))
    found = await s3.open("vault/", endpoint=faults.address).entries()
    assert [(one.name, one.size) for one in found] == [("..", 1), ("a.snap", 2)]


async def test_what_others_put_into_a_bucket_does_not_end_a_list(s3: S3) -> None:
    for key in ("vault//x", "vault/\x01", "vault/a b+c%2F", "vault/\u202e", "vault/d/e"):
        s3.client.put_object(Bucket=s3.bucket, Key=key, Body=b"1")
    storage = s3.open("vault/")
    await storage.put(NAME, BytesSource(b"snapshot"))
    names = {entry.name for entry in await storage.entries()}
    assert {NAME, "\x01", "a b+c%2F", "\u202e"} <= names


async def test_pages_that_do_not_end_are_told(s3: S3, faults: S3Faults) -> None:
    page = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t"
        b"</NextContinuationToken><Contents><Key>a</Key><Size>1</Size></Contents>"
        b"</ListBucketResult>"
    )
    faults.behave(everything, status(200, page))
    with pytest.raises(StorageError, match="do not come to an end"):
        await s3.open(endpoint=faults.address).entries()
    assert len(faults.requests) < 20


async def test_a_bucket_with_too_many_objects_is_told(s3: S3) -> None:
    for number in range(4):
        s3.client.put_object(Bucket=s3.bucket, Key=f"{number}", Body=b"1")
    with pytest.raises(StorageError, match="more than 3 objects") as caught:
        await s3.open(max_objects=3).entries()
    assert "max_objects" in caught.value.hint


async def test_the_placeholder_of_a_folder_is_no_entry(s3: S3) -> None:
    s3.client.put_object(Bucket=s3.bucket, Key="vault/", Body=b"")
    storage = s3.open("vault/")
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert [entry.name for entry in await storage.entries()] == [NAME]


async def test_a_cancelled_put_does_not_wait_for_a_source_that_stands_still(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "_GRACE", 0.1)
    storage = s3.open()
    with Watched(tmp_path) as source:
        with anyio.fail_after(30):
            async with beside(source, storage.put, NAME, source) as tasks:
                source.grow(bytes_of(20 * MIB))
                await source.reached(20 * MIB)
                tasks.cancel_scope.cancel()
        source.fail(Stopped("the agent was told to stop"))
        with anyio.fail_after(30):
            while s3.pending():  # noqa: ASYNC110 - the store does not call us
                await anyio.sleep(0.02)
    assert s3.keys() == []


async def test_a_cancelled_put_takes_back_what_it_sent(
    s3: S3, faults: S3Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even though the source comes to a good end while it waits for that."""
    faults.behave(is_part, late)
    storage = s3.open(endpoint=faults.address)
    with Watched(tmp_path) as source:

        def accept_and_wait(seconds: float, *, shield: bool) -> anyio.CancelScope:
            source.accept()
            return anyio.move_on_after(seconds, shield=shield)

        monkeypatch.setattr(body, "move_on_after", accept_and_wait)
        async with beside(source, storage.put, NAME, source) as tasks:
            source.grow(bytes_of(20 * MIB))
            await source.reached(20 * MIB)
            tasks.cancel_scope.cancel()
    assert s3.keys() == []
    assert s3.pending() == []


async def test_reading_what_is_not_there_is_told(s3: S3) -> None:
    with pytest.raises(SnapshotNotFound) as caught:
        await anext(s3.open().read(NAME))
    assert caught.value.message.startswith(
        f"cannot read {NAME} in s3://{s3.bucket}/: there is none of that name (404 NoSuchKey "
    )
