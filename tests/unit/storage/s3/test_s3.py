from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.contract.destinations import S3, SETTINGS
from tests.contract.sources import MIB, NAME, bytes_of, content, put_of
from tests.http_proxy import HttpProxy, status
from tests.s3_faults import S3Faults

from raft_snapshot_agent.errors import (
    LoginRefused,
    StorageDenied,
    StorageError,
)
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.http.parts import PART
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.s3.s3 import S3Settings, bucket_of

FORBIDDEN = re.compile(r"Signature=|X-Amz|\?|\n|Debug|RetryError|<|Credential=")


# What a wrong configuration is told.


@pytest.mark.parametrize(
    ("wrong", "kind", "why", "hint"),
    [
        ({"bucket": "missing-bucket"}, StorageError, "the bucket does not exist", "create it"),
        ({"access_key_id": "nobody"}, LoginRefused, "InvalidAccessKeyId", "access_key_id"),
        ({"secret_access_key": "no"}, LoginRefused, "SignatureDoesNotMatch", "likely"),
    ],
)
@pytest.mark.parametrize("verb", ["put", "entries", "read"])
async def test_each_mistake_has_its_own_message(
    s3: S3, verb: str, wrong: dict[str, str], kind: type[StorageError], why: str, hint: str
) -> None:
    storage = s3.open("vault/", **wrong)
    with pytest.raises(StorageError) as caught:
        await _use(storage, verb)
    assert type(caught.value) is kind
    assert why in caught.value.message
    assert f"s3://{wrong.get('bucket', s3.bucket)}/vault/" in caught.value.message
    assert hint in caught.value.hint
    assert not FORBIDDEN.search(str(caught.value))
    assert s3.seaweed.secret_access_key not in str(caught.value)


async def _use(storage: Storage, verb: str) -> None:
    match verb:
        case "put":
            await storage.put(NAME, BytesSource(b"snapshot"))
        case "entries":
            await storage.entries()
        case "sweep":
            await storage.sweep(Leftovers())
        case _:
            await anext(storage.read(NAME))


async def test_keys_that_may_only_write_are_enough_for_a_put(s3: S3, tmp_path: Path) -> None:
    uploader = s3.seaweed.identities[1]
    keys = {
        "access_key_id": uploader.access_key_id,
        "secret_access_key": uploader.secret_access_key,
    }
    storage = s3.open(**keys)
    assert await put_of(storage, tmp_path, 20 * MIB) == 20 * MIB
    assert await storage.sweep(Leftovers()) == 0
    with pytest.raises(StorageDenied) as caught:
        await storage.entries()
    assert "s3:ListBucket" in caught.value.hint
    assert await content(s3.open()) == bytes_of(20 * MIB)


async def test_a_secret_that_was_rotated_is_used_at_once(s3: S3, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("an old one")
    storage = s3.open(secret_access_key=f"file://{secret}")
    with pytest.raises(StorageDenied):
        await storage.entries()
    secret.write_text(s3.seaweed.secret_access_key)
    assert await storage.entries() == []


@pytest.mark.parametrize("verb", ["put", "entries", "read", "sweep"])
async def test_a_secret_that_is_missing_fails_this_storage_alone(s3: S3, verb: str) -> None:
    storage = s3.open(secret_access_key="env://NOT_SET")
    with pytest.raises(StorageDenied, match="NOT_SET"):
        await _use(storage, verb)


# What the environment adds.


def settings(**more: Any) -> S3Settings:
    made = SETTINGS.validate_python({"type": "s3", "bucket": "backups", **more})
    assert isinstance(made, S3Settings)
    return made


async def test_the_environment_fills_in_what_is_missing(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.seaweed.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.seaweed.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.seaweed.secret_access_key)
    storage = settings(bucket=s3.bucket).open()
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert await content(storage) == b"snapshot"
    s3.client.create_multipart_upload(Bucket=s3.bucket, Key=NAME)
    assert await storage.sweep(Leftovers(frozenset({"0a1b2c"}))) == 1


async def test_what_was_set_comes_before_the_environment(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.setenv(name, "somebody-elses")
    storage = s3.open()
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert await content(storage) == b"snapshot"
    assert await storage.sweep(Leftovers()) == 0


async def test_a_session_token_is_sent(faults: S3Faults, s3: S3) -> None:
    storage = s3.open(endpoint=faults.address, session_token="a-token")
    with pytest.raises(StorageError):
        await storage.entries()
    assert faults.requests[-1].headers["x-amz-security-token"] == "a-token"


async def test_plain_http_from_the_environment_is_refused_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    with pytest.raises(StorageError, match="allow_http"):
        await settings().open().entries()


@pytest.mark.parametrize("verb", ["entries", "put"])
async def test_no_credentials_at_all_are_told_soon(
    monkeypatch: pytest.MonkeyPatch, s3: S3, verb: str
) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    storage = settings(bucket=s3.bucket, endpoint=s3.seaweed.endpoint, timeout="1s").open()
    with pytest.raises(StorageDenied) as caught:
        await _use(storage, verb)
    assert "no credentials" in caught.value.message
    assert not FORBIDDEN.search(str(caught.value))


async def test_without_keys_nothing_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    assert await settings(endpoint="http://127.0.0.1:1").open().sweep(Leftovers()) == 0


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({}, "https://backups.s3.us-east-1.amazonaws.com"),
        ({"region": "eu-central-1"}, "https://backups.s3.eu-central-1.amazonaws.com"),
        ({"region": "cn-north-1"}, "https://backups.s3.cn-north-1.amazonaws.com.cn"),
        ({"path_style": True}, "https://s3.us-east-1.amazonaws.com/backups"),
        ({"bucket": "my.backups"}, "https://s3.us-east-1.amazonaws.com/my.backups"),
        ({"endpoint": "https://minio:9000/"}, "https://minio:9000/backups"),
        (
            {"endpoint": "https://fsn1.example.com", "path_style": False},
            "https://backups.fsn1.example.com",
        ),
        (
            {"endpoint": "https://s3.dualstack.eu-west-1.amazonaws.com"},
            "https://backups.s3.dualstack.eu-west-1.amazonaws.com",
        ),
    ],
)
def test_where_a_bucket_answers(more: dict[str, Any], url: str) -> None:
    assert bucket_of(settings(**more)).url == url


def test_regions_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert bucket_of(settings()).region == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert bucket_of(settings()).region == "eu-west-2"
    assert bucket_of(settings(region="eu-west-3")).region == "eu-west-3"


async def test_a_virtual_hosted_bucket_is_asked_by_its_host() -> None:
    """Through a proxy, as its name is not in the DNS here."""
    with HttpProxy("http://127.0.0.1:1", lambda _: status(404)) as proxy:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("http_proxy", proxy.address)
            place = {"endpoint": "http://s3.invalid", "path_style": False, "allow_http": True}
            keys = {"access_key_id": "mine", "secret_access_key": "secret"}
            with pytest.raises(StorageError):
                await settings(**place, **keys).open().put(NAME, BytesSource(b"snapshot"))
        assert proxy.requests[0].target == f"http://backups.s3.invalid/{NAME}"


@pytest.fixture
def over_tls(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings for an empty store with a certificate of a CA that nobody knows."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    with HttpProxy("http://127.0.0.1:1", lambda _: status(200, listing)) as store:
        store.socket = context.wrap_socket(store.socket, server_side=True)
        yield {
            "endpoint": store.address.replace("http:", "https:"),
            "access_key_id": "mine",
            "secret_access_key": "secret",
            "timeout": "2s",
        }


async def test_a_certificate_of_an_unknown_ca_is_refused(over_tls: dict[str, Any]) -> None:
    with pytest.raises(StorageError) as caught:
        await settings(**over_tls).open().entries()
    assert "is not trusted" in caught.value.message
    assert "ca_file" in caught.value.hint
    with pytest.raises(StorageError, match="the TLS certificate is not trusted"):
        await settings(**over_tls).open().sweep(Leftovers())


async def test_a_private_ca_is_trusted_where_it_is_named(
    over_tls: dict[str, Any], tmp_path: Path
) -> None:
    storage = settings(**over_tls, ca_file=tmp_path / "ca.pem").open()
    assert await storage.entries() == []
    assert await storage.sweep(Leftovers()) == 0


async def test_a_private_ca_may_be_named_by_the_environment(
    over_tls: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert await settings(**over_tls).open().entries() == []


async def test_a_ca_file_that_is_missing_is_told(over_tls: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match=r"cannot use /missing\.pem"):
        await settings(**over_tls, ca_file="/missing.pem").open().entries()


def test_the_timeout_has_a_default() -> None:
    assert settings().timeout == timedelta(seconds=60)


def test_a_put_takes_100_gib_in_10_000_parts() -> None:
    assert PART * 10_000 > 100 << 30


async def test_any_certificate_is_trusted_where_that_is_said(over_tls: dict[str, Any]) -> None:
    storage = settings(**over_tls, skip_verify=True).open()
    assert await storage.entries() == []
    assert await storage.sweep(Leftovers()) == 0


async def test_the_proxy_that_is_configured_is_used_with_its_credentials() -> None:
    with HttpProxy("http://127.0.0.1:1", lambda _: status(404)) as proxy:
        through = proxy.address.replace("http://", "http://me:pa%24s@")
        place = {"endpoint": "http://s3.invalid", "allow_http": True, "proxy": through}
        keys = {"access_key_id": "mine", "secret_access_key": "secret"}
        storage = settings(**place, **keys).open()
        with pytest.raises(StorageError) as refused:
            await storage.put(NAME, BytesSource(b"snapshot"))
        with pytest.raises(StorageError):
            await storage.sweep(Leftovers())
        assert "pa" not in str(refused.value).replace("raft-snapshot", "")
        put, sweep = proxy.requests
        assert put.target == f"http://s3.invalid/backups/{NAME}"
        assert sweep.target.startswith("http://s3.invalid/backups?")
        for request in (put, sweep):
            assert request.headers["Proxy-Authorization"] == "Basic bWU6cGEkcw=="
