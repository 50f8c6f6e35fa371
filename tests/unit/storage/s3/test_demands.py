"""What a store says it needs is sent, or named with the key to set."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.contract.destinations import S3, SETTINGS
from tests.contract.sources import MIB, NAME, bytes_of, content, put_of
from tests.http_proxy import Behaviour, Exchange, Request, pass_through, status
from tests.moto_store import MotoStore
from tests.s3_faults import S3Faults

from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import ConfigError, StorageError
from raft_snapshot_agent.storage.base import BytesSource, Storage

_WANTED = "Content-MD5 OR x-amz-checksum- header is required for Put Object requests"
_CHECKSUM = "x-amz-checksum-sha256"


def refusal(code: str, message: str, code_of_http: int = 400) -> Behaviour:
    document = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status(code_of_http, document.encode())


def without_checksum(request: Request) -> bool:
    """Tell the writes that a bucket with Object Lock refuses."""
    return request.method == "PUT" and _CHECKSUM not in request.headers


@pytest.fixture
def demanding(s3: S3, faults: S3Faults) -> S3Faults:
    """A store that refuses what comes without a checksum."""
    faults.behave(without_checksum, refusal("InvalidRequest", _WANTED))
    return faults


def refused(faults: S3Faults) -> int:
    return len([one for one in faults.requests if without_checksum(one)])


@pytest.mark.parametrize("size", [8, 30 * MIB], ids=["one request", "several parts"])
async def test_a_store_that_wants_checksums_gets_them_from_then_on(
    s3: S3, demanding: S3Faults, tmp_path: Path, size: int
) -> None:
    storage = s3.open(endpoint=demanding.address)
    assert await put_of(storage, tmp_path, size) == size
    assert await content(s3.open()) == bytes_of(size)
    assert s3.pending() == []
    asked = refused(demanding)
    assert asked > 0
    await storage.put(f"{NAME}.json", BytesSource(b"{}"))
    assert refused(demanding) == asked, "the storage has forgotten what was asked of it"


async def test_a_lease_is_written_with_the_checksum_that_the_store_wants(
    s3: S3, demanding: S3Faults
) -> None:
    lease_store = SETTINGS.validate_python(s3.settings(endpoint=demanding.address)).lease_store(
        "lease"
    )
    record = Record(holder="a", term=1, beat=1, seconds=30.0)
    version = await lease_store.write(record, None)
    assert version is not None
    await lease_store.close()


@pytest.mark.parametrize("wrong", [False, True])
async def test_the_configuration_is_not_overruled(s3: S3, faults: S3Faults, *, wrong: bool) -> None:
    faults.behave(lambda request: request.method == "PUT", refusal("InvalidRequest", _WANTED))
    with pytest.raises(StorageError, match="x-amz-checksum- header is required") as caught:
        await s3.open(endpoint=faults.address, checksum=wrong).put(NAME, BytesSource(b"snapshot"))
    assert "set checksum: true" in caught.value.hint
    assert len([one for one in faults.requests if one.method == "PUT"]) == 1


@pytest.fixture
def moto() -> Iterator[MotoStore]:
    with MotoStore.start() as store:
        yield store


def opened(moto: MotoStore, bucket: str, **more: Any) -> Storage:
    settings = {
        "type": "s3",
        "bucket": bucket,
        "endpoint": moto.endpoint,
        "region": moto.region,
        "access_key_id": moto.access_key_id,
        "secret_access_key": moto.secret_access_key,
        "timeout": "20s",
        **more,
    }
    storage: Storage = SETTINGS.validate_python(settings).open()
    return storage


async def test_a_bucket_with_object_lock_takes_snapshots(moto: MotoStore, tmp_path: Path) -> None:
    bucket = f"test-{secrets.token_hex(6)}"
    moto.client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    moto.client.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
    )
    with S3Faults(moto.endpoint) as front:
        # The emulation itself takes anything: the demand is Ceph's and MinIO's.
        front.behave(without_checksum, refusal("InvalidRequest", _WANTED))
        storage = opened(moto, bucket, endpoint=front.address)
        assert await put_of(storage, tmp_path, 14 * MIB) == 14 * MIB
        assert await content(storage) == bytes_of(14 * MIB)


# Another region.


def elsewhere(exchange: Exchange) -> None:
    """Answer as Amazon does for a bucket of another region: a redirect to nowhere."""
    exchange.answer(301, [("x-amz-bucket-region", "eu-west-1"), ("Content-Length", "0")], b"")


async def test_the_region_of_the_bucket_is_found_out_and_told(s3: S3, faults: S3Faults) -> None:
    faults.behave(lambda _: True, elsewhere)
    storage = s3.open(endpoint=faults.address)
    for asked in (storage.put(NAME, BytesSource(b"snapshot")), storage.entries()):
        with pytest.raises(StorageError, match="x-amz-bucket-region: eu-west-1") as caught:
            await asked
        assert caught.value.hint == "set region: eu-west-1"


async def test_without_a_region_in_the_answer_the_hint_says_likely(
    s3: S3, faults: S3Faults
) -> None:
    nowhere: list[tuple[str, str]] = [("Content-Length", "0")]
    faults.behave(lambda _: True, lambda exchange: exchange.answer(301, nowhere, b""))
    with pytest.raises(StorageError) as caught:
        await s3.open(endpoint=faults.address).entries()
    assert "likely" in caught.value.hint


# Options that a store does not know.


async def test_the_options_that_a_store_may_not_know_are_named(s3: S3, faults: S3Faults) -> None:
    faults.behave(
        lambda request: request.method == "PUT",
        refusal("NotImplemented", "A header you provided implies functionality", 501),
    )
    storage = s3.open(endpoint=faults.address, storage_class="COLD", tags={"team": "platform"})
    with pytest.raises(StorageError, match="501 NotImplemented A header you") as caught:
        await storage.put(NAME, BytesSource(b"snapshot"))
    assert type(caught.value) is StorageError, "it does not pass by itself"
    assert caught.value.hint.endswith("try without storage_class, tags")


# What a proxy does to a signature.


async def test_a_changed_host_is_among_the_likely_causes(s3: S3, faults: S3Faults) -> None:
    def rewrite(exchange: Exchange) -> None:
        exchange.request.headers.replace_header("Host", "store.internal")
        pass_through(exchange)

    faults.behave(lambda _: True, rewrite)
    with pytest.raises(StorageError, match="SignatureDoesNotMatch") as caught:
        await s3.open(endpoint=faults.address).entries()
    assert "likely" in caught.value.hint
    assert "proxy that changes Host" in caught.value.hint


# An endpoint that holds the bucket.


def settings(bucket: str, endpoint: str | None, **more: Any) -> Any:
    address = {} if endpoint is None else {"endpoint": endpoint}
    return SETTINGS.validate_python({"type": "s3", "bucket": bucket, **address, **more})


@pytest.mark.parametrize(
    ("endpoint", "more", "mend"),
    [
        ("https://backups.s3.example.org", {}, "write https://s3.example.org;"),
        ("https://backups.s3.example.org:9000", {}, "write https://s3.example.org:9000;"),
        ("https://BACKUPS.S3.example.org", {}, "write https://s3.example.org;"),
        ("https://backups.s3.example.org", {"path_style": False}, "write https://s3.example.org"),
        (
            "https://backups.s3.eu-central-1.amazonaws.com",
            {"path_style": True},
            "write https://s3.eu-central-1.amazonaws.com",
        ),
    ],
)
def test_an_endpoint_that_holds_the_bucket_is_refused(
    endpoint: str, more: dict[str, Any], mend: str
) -> None:
    with pytest.raises(ValidationError, match="holds the bucket") as caught:
        settings("backups", endpoint, **more)
    assert mend in str(caught.value)


@pytest.mark.parametrize(
    ("bucket", "endpoint", "more"),
    [
        ("backups", "https://s3.example.org", {}),
        ("backup", "https://backups.example.org", {}),
        ("minio", "https://minio.example.org", {"path_style": True}),
        ("s3", "https://s3.eu-central-1.amazonaws.com", {}),
    ],
)
def test_an_endpoint_of_its_own_is_taken(bucket: str, endpoint: str, more: dict[str, Any]) -> None:
    settings(bucket, endpoint, **more).check()


def test_an_endpoint_of_the_environment_that_holds_the_bucket_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://backups.s3.example.org")
    with pytest.raises(ConfigError, match=r"write https://s3\.example\.org;"):
        settings("backups", None).check()
