"""What an operator can ask of Amazon S3 beside storing bytes."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from pydantic import ValidationError
from tests.moto_store import MotoStore
from tests.s3_faults import S3Faults

from raft_snapshot_agent.errors import StorageDenied
from raft_snapshot_agent.storage.base import BytesSource, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.s3.s3 import S3Settings, bucket_of

NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
SMALL, LARGE = 1000, 30 << 20
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["one request", "several parts"])


@pytest.fixture(scope="module")
def store() -> Iterator[MotoStore]:
    with MotoStore.start() as store:
        yield store


@pytest.fixture
def bucket(store: MotoStore) -> str:
    name = f"test-{secrets.token_hex(6)}"
    store.create_bucket(name)
    return name


def settings(store: MotoStore, bucket: str, **more: Any) -> S3Settings:
    keys = {"access_key_id": store.access_key_id, "secret_access_key": store.secret_access_key}
    common = {"type": "s3", "bucket": bucket, "endpoint": store.endpoint, "prefix": "prod/"}
    return S3Settings.model_validate({**common, **keys, **more})


def opened(store: MotoStore, bucket: str, **more: Any) -> Storage:
    return settings(store, bucket, **more).open()


def of(size: int) -> UploadSource:
    return BytesSource(bytes(range(256)) * (size // 256 + 1))


async def put(store: MotoStore, bucket: str, size: int, **more: Any) -> dict[str, Any]:
    """Store something; return what the store says of it."""
    await opened(store, bucket, **more).put(NAME, of(size))
    said: dict[str, Any] = store.client.head_object(Bucket=bucket, Key=f"prod/{NAME}")
    return said


@SIZES
async def test_the_storage_class(store: MotoStore, bucket: str, size: int) -> None:
    said = await put(store, bucket, size, storage_class="STANDARD_IA")

    assert said["StorageClass"] == "STANDARD_IA"


async def test_what_lies_beside_a_snapshot_stays_at_hand(store: MotoStore, bucket: str) -> None:
    storage = opened(store, bucket, storage_class="GLACIER")
    for name in (NAME, f"{NAME}.json", "raft-snapshot-guard.json"):
        await storage.put(name, BytesSource(b"{}"))

    listed = store.client.list_objects_v2(Bucket=bucket)["Contents"]
    classes = {one["Key"].removeprefix("prod/"): one["StorageClass"] for one in listed}
    assert classes.pop(NAME) == "GLACIER"
    assert set(classes.values()) == {"STANDARD"}


@SIZES
async def test_tags(store: MotoStore, bucket: str, size: int) -> None:
    tags = {"team": "platform + ops", "what": "vault=backup"}

    await put(store, bucket, size, tags=tags)

    found = store.client.get_object_tagging(Bucket=bucket, Key=f"prod/{NAME}")["TagSet"]
    assert {one["Key"]: one["Value"] for one in found} == tags


@SIZES
async def test_a_checksum_goes_with_every_byte_where_it_is_wanted(
    store: MotoStore, bucket: str, size: int
) -> None:
    with S3Faults(store.endpoint) as watched:
        await opened(store, bucket, endpoint=watched.address, checksum=True).put(NAME, of(size))
        with_checksum = [request for request in watched.requests if request.method == "PUT"]
        await opened(store, bucket, endpoint=watched.address).put(NAME, of(size))
        without = [one for one in watched.requests if one.method == "PUT"][len(with_checksum) :]

    assert len(with_checksum) == len(without) > 0
    assert all("x-amz-checksum-sha256" in request.headers for request in with_checksum)
    assert not any("x-amz-checksum-sha256" in request.headers for request in without)


@SIZES
async def test_a_customers_key_goes_with_every_request_that_needs_it(
    store: MotoStore, bucket: str, size: int
) -> None:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with S3Faults(store.endpoint) as watched:
        storage = opened(store, bucket, endpoint=watched.address, sse_customer_key=key)
        await storage.put(NAME, of(size))
        read = b"".join([piece async for piece in storage.read(NAME)])

    assert len(read) == len(bytes(range(256)) * (size // 256 + 1))
    header = "x-amz-server-side-encryption-customer-key"
    keyed = [one for one in watched.requests if one.method in {"PUT", "GET", "HEAD"}]
    assert {one.method for one in keyed} == {"PUT", "GET", "HEAD"}
    assert all(one.headers[header] == key for one in keyed)


@SIZES
async def test_encryption_by_the_stores_own_key(store: MotoStore, bucket: str, size: int) -> None:
    said = await put(store, bucket, size, server_side_encryption="AES256")

    assert said["ServerSideEncryption"] == "AES256"


@SIZES
async def test_encryption_by_a_managed_key(store: MotoStore, bucket: str, size: int) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c"
    kms = {"server_side_encryption": "aws:kms", "kms_key_id": key, "bucket_key_enabled": True}

    said = await put(store, bucket, size, **kms)

    assert said["ServerSideEncryption"] == "aws:kms"
    assert said["SSEKMSKeyId"] == key
    # The emulation forgets it of an upload in parts.
    assert said.get("BucketKeyEnabled", size == LARGE) is True


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"kms_key_id": "k"}, "kms_key_id needs"),
        ({"bucket_key_enabled": True}, "bucket_key_enabled needs"),
        ({"sse_customer_key": "x", "server_side_encryption": "AES256"}, "not both"),
        ({"profile": "p", "access_key_id": "a", "secret_access_key": "s"}, "not both"),
        ({"region": "eu central"}, "name of a region"),
        ({"endpoint": "https://h :9000"}, "without spaces"),
        ({"storage_class": 3}, "storage_class"),
        ({"tags": {"a": {}}}, "tags"),
        ({"tags": {"team": "a & b"}}, "letters, digits"),
        ({"tags": {"": "x"}}, "1 to 128"),
        ({"tags": {str(number): "x" for number in range(11)}}, "ten tags"),
    ],
)
def test_options_that_contradict_one_another(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        S3Settings.model_validate({"type": "s3", "bucket": "b", **keys})


@pytest.mark.parametrize("key", ["short", base64.b64encode(bytes(31)).decode(), "ä" * 44])
async def test_a_customers_key_of_the_wrong_size_is_not_shown(
    store: MotoStore, bucket: str, key: str
) -> None:
    storage = opened(store, bucket, sse_customer_key=key)

    with pytest.raises(StorageDenied, match="is not 32 bytes in base64") as refused:
        await storage.put(NAME, of(SMALL))

    assert key not in str(refused.value)


async def test_versions_keep_what_is_deleted(store: MotoStore, bucket: str) -> None:
    enabled = {"Status": "Enabled"}
    store.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    storage = opened(store, bucket)
    await storage.put(NAME, BytesSource(b"one"))
    await storage.put(NAME, BytesSource(b"another"))

    await storage.delete(NAME)

    assert await storage.entries() == []
    versions = store.client.list_object_versions(Bucket=bucket)
    assert len(versions["Versions"]) == 2
    assert len(versions["DeleteMarkers"]) == 1


async def test_a_locked_object_outlives_its_deletion(store: MotoStore) -> None:
    bucket = f"test-{secrets.token_hex(6)}"
    store.client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    storage = opened(store, bucket)
    await storage.put(NAME, of(SMALL))
    held = {"Status": "ON"}
    store.client.put_object_legal_hold(Bucket=bucket, Key=f"prod/{NAME}", LegalHold=held)

    await storage.delete(NAME)

    assert await storage.entries() == []
    (version,) = store.client.list_object_versions(Bucket=bucket)["Versions"]
    kept = store.client.head_object(
        Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"]
    )
    assert kept["ObjectLockLegalHoldStatus"] == "ON"


# Where keys are found.

FILES = {
    "credentials": """
        [default]
        aws_access_key_id = DEFAULTKEY
        aws_secret_access_key = default-secret
        [backup]
        aws_access_key_id = BACKUPKEY
        aws_secret_access_key = backup-secret=with=signs
        aws_session_token = backup-token
        [empty]
        """,
    "config": """
        [default]
        region = eu-west-1
        [profile backup]
        region = eu-central-1
        [profile assumed]
        role_arn = arn:aws:iam::1:role/x
        source_profile = default
        [profile process]
        credential_process = /bin/echo secret-command
        """,
}


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        lines = [line.strip() for line in text.splitlines()]
        (tmp_path / name).write_text("\n".join(lines))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def signers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who signed the requests of a sweep, of which the headers are at hand."""
    found: list[str] = []

    def urlopen(_: object, _method: str, _url: str, headers: dict[str, str], **_more: Any) -> Any:
        found.append(headers["authorization"].partition("Credential=")[2].split("/")[0])
        return urllib3.HTTPResponse(io.BytesIO(b"<a/>"), status=200, preload_content=False)

    monkeypatch.setattr(urllib3.PoolManager, "urlopen", urlopen)
    return found


async def swept(**more: Any) -> int:
    settings = {"type": "s3", "bucket": "b", "endpoint": "http://127.0.0.1:1", **more}
    return await S3Settings.model_validate(settings).open().sweep(Leftovers())


@pytest.mark.usefixtures("profiles")
async def test_a_mark_of_utf_8_begins_no_section(signers: list[str], profiles: Path) -> None:
    (profiles / "credentials").write_bytes(
        b"\xef\xbb\xbf[marked]\r\naws_access_key_id = KEY\r\naws_secret_access_key = s3cr3t\r\n"
    )
    await swept(profile="marked")
    assert set(signers) == {"KEY"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("aws_access_key_id = KEY", "line 1 is in no section, such as [default]"),
        ("[default]\n = s3cr3t", "line 2 is neither a section nor a key with its value"),
    ],
)
async def test_a_file_that_is_none_of_profiles_is_told(profiles: Path, text: str, why: str) -> None:
    (profiles / "credentials").write_text(text)
    with pytest.raises(StorageDenied) as caught:
        await S3Settings(type="s3", bucket="b", profile="x").open().entries()
    assert f"cannot read the AWS profiles in {profiles}/credentials: {why}" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


async def test_a_line_break_after_a_key_is_no_part_of_it(
    signers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t\r\n")
    await swept()
    assert set(signers) == {"KEY"}


@pytest.mark.usefixtures("profiles")
async def test_a_profile_signs(signers: list[str]) -> None:
    await swept(profile="backup")

    assert signers == ["BACKUPKEY"]


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("variables", "signer"),
    [
        ({}, ["DEFAULTKEY"]),
        ({"AWS_PROFILE": "backup"}, ["BACKUPKEY"]),
        ({"AWS_ACCESS_KEY_ID": "VARIABLE", "AWS_SECRET_ACCESS_KEY": "s"}, ["VARIABLE"]),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/missing", "AWS_ROLE_ARN": "arn"}, []),
    ],
)
async def test_without_keys_the_sdks_places_are_searched_in_its_order(
    signers: list[str],
    variables: dict[str, str],
    signer: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    await swept()

    assert signers == signer


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("assumed", "role_arn is not supported"),
        ("process", "credential_process is not supported"),
        ("missing", "there is no AWS profile 'missing' in"),
        ("empty", "there is no AWS profile 'empty' in"),
    ],
)
async def test_a_profile_that_cannot_be_used_is_named(name: str, why: str) -> None:
    with pytest.raises(StorageDenied, match=why) as refused:
        await swept(profile=name)

    assert refused.value.hint
    assert "secret-command" not in str(refused.value)


async def test_a_damaged_profile_is_not_quoted(profiles: Path) -> None:
    (profiles / "credentials").write_text("aws_secret_access_key = loose-secret\n")

    with pytest.raises(StorageDenied, match="cannot read the AWS profiles in") as refused:
        await swept(profile="backup")

    assert "loose" not in str(refused.value)


@pytest.mark.usefixtures("profiles")
def test_the_region_comes_from_the_profile_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def region(**more: Any) -> str:
        return bucket_of(S3Settings.model_validate({"type": "s3", "bucket": "b", **more})).region

    assert region() == "eu-west-1"
    assert region(profile="backup") == "eu-central-1"
    assert region(profile="backup", region="us-west-2") == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    assert region() == "ap-south-1"
