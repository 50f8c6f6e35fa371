"""Google Cloud Storage: whose credentials are used, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError
from tests.contract.places import SETTINGS, Gcs
from tests.contract.sources import MIB, NAME, bytes_of, content, put_of
from tests.fake_gcs import FakeGcs, service_account
from tests.http_proxy import HttpProxy, status
from tests.s3_faults import S3Faults
from tests.token_server import TokenServer

from raft_snapshot_agent.errors import StorageDenied, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import Content, Storage

KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
HEADER = "x-goog-encryption-kms-key-name"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home where gcloud was never used, on a host that is no instance of Google's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    return tmp_path


def ambient(gcs: Gcs, **more: Any) -> Storage:
    """Open the bucket without naming credentials."""
    settings = gcs.settings(**more)
    del settings["service_account_file"]
    storage: Storage = SETTINGS.validate_python(settings).open()
    return storage


# Whose credentials are used.


async def test_the_environment_may_name_a_service_account(
    gcs: Gcs, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gcs.server.credentials))
    storage = ambient(gcs)
    await storage.put(NAME, Content(b"snapshot"))
    assert await content(storage) == b"snapshot"


async def test_what_gcloud_left_is_used(gcs: Gcs, home: Path) -> None:
    left = home / ".config/gcloud/application_default_credentials.json"
    left.parent.mkdir(parents=True)
    left.write_bytes(gcs.server.credentials.read_bytes())
    assert await ambient(gcs).entries() == []


async def test_the_file_that_was_named_comes_before_the_environment(
    gcs: Gcs, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(home / "missing.json"))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(home / "missing.json"))
    monkeypatch.setenv("GOOGLE_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GOOGLE_BUCKET", "somebody-elses")
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    assert await gcs.open().entries() == []


async def test_a_key_that_was_rotated_is_used_at_once(gcs: Gcs, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "key.json"
    file.write_text(json.dumps(service_account(key)))
    storage = gcs.open(service_account_file=file)
    with pytest.raises(StorageDenied, match="401") as caught:
        await storage.entries()
    assert "service_account_file" in caught.value.hint
    file.write_bytes(gcs.server.credentials.read_bytes())
    assert await storage.entries() == []


async def test_the_metadata_server_is_asked_for_a_token(
    gcs: Gcs, home: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", tokens.address.removeprefix("http://"))
    assert await ambient(gcs).entries() == []
    (request,) = tokens.requests
    assert request.path == "/computeMetadata/v1/instance/service-accounts/default/token"
    assert request.headers["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize("verb", ["entries", "put"])
async def test_no_credentials_at_all_are_told_soon(gcs: Gcs, home: Path, verb: str) -> None:
    storage = ambient(gcs, timeout="1s")
    with pytest.raises(StorageDenied) as caught:
        await (storage.entries() if verb == "entries" else storage.put(NAME, Content(b"x")))
    assert "there are no credentials" in caught.value.message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint


# Workload identity federation.


def federation(folder: Path, tokens: TokenServer) -> Path:
    """Write what Google's console hands out for a cluster elsewhere."""
    (folder / "subject").write_text("token-of-the-pod")
    file = folder / "federation.json"
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{tokens.address}/v1/token",
        "credential_source": {"file": str(folder / "subject")},
    }
    file.write_text(json.dumps(document))
    return file


async def test_a_federated_token_is_exchanged(
    gcs: Gcs, tmp_path: Path, tokens: TokenServer
) -> None:
    storage = gcs.open(service_account_file=federation(tmp_path, tokens))
    assert await put_of(storage, tmp_path, 14 * MIB) == 14 * MIB
    form = tokens.forms[0]
    assert form["subject_token"] == "token-of-the-pod"
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"


async def test_federation_may_be_named_by_the_environment(
    gcs: Gcs, home: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(federation(home, tokens)))
    assert await ambient(gcs).entries() == []


async def test_a_federated_login_that_is_refused_is_told(
    gcs: Gcs, tmp_path: Path, tokens: TokenServer
) -> None:
    refused = {"error": "invalid_grant", "error_description": "The audience is not known."}
    tokens.answer = status(400, refused)
    with pytest.raises(StorageDenied) as caught:
        await gcs.open(service_account_file=federation(tmp_path, tokens)).entries()
    assert "the login was refused (The audience is not known.)" in caught.value.message
    assert "token-of-the-pod" not in str(caught.value)


async def test_an_exchange_that_does_not_answer_may_pass(
    gcs: Gcs, tmp_path: Path, tokens: TokenServer
) -> None:
    file = federation(tmp_path, tokens)
    file.write_text(file.read_text().replace(tokens.address, "http://127.0.0.1:1"))
    with pytest.raises(StorageUnavailable, match="where tokens are exchanged"):
        await gcs.open(service_account_file=file).entries()


async def test_federation_needs_a_library_that_is_named(
    gcs: Gcs, tmp_path: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", None)
    with pytest.raises(StorageDenied) as caught:
        await gcs.open(service_account_file=federation(tmp_path, tokens)).entries()
    assert "raft-snapshot-agent[gcs-federation]" in caught.value.hint


# Files that are no credentials.


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "of which type"),
        ('{"client_email": "x"}', "of which type"),
        ('{"type": "invented"}', "invented is no kind of credentials"),
        ('{"type": "service_account"}', "missing field"),
        ('{"type": "external_account"}', "cannot use the Google credentials"),
    ],
)
async def test_a_file_that_is_no_credentials_is_told(
    gcs: Gcs, tmp_path: Path, text: str, why: str
) -> None:
    file = tmp_path / "key.json"
    file.write_text(text)
    with pytest.raises(StorageDenied, match=why) as caught:
        await gcs.open(service_account_file=file).entries()
    assert caught.value.hint


async def test_a_file_that_is_missing_is_told(gcs: Gcs) -> None:
    with pytest.raises(StorageDenied, match=r"/missing\.json: No such file"):
        await gcs.open(service_account_file="/missing.json").entries()


# The emulator.


@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_an_emulator_is_asked_without_credentials(
    scheme: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = b"<ListBucketResult></ListBucketResult>"
    with HttpProxy("http://127.0.0.1:1", lambda _: status(200, listing)) as emulator:
        host = emulator.address.removeprefix("http://")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", scheme + host)
        storage = SETTINGS.validate_python({"type": "gcs", "bucket": "backups"}).open()
        assert await storage.entries() == []
        assert (emulator.requests[0].headers["Authorization"] or "").strip() in {"", "Bearer"}


async def test_an_emulator_elsewhere_needs_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "gcs:4443")
    storage = SETTINGS.validate_python({"type": "gcs", "bucket": "backups"}).open()
    with pytest.raises(StorageError, match=r"STORAGE_EMULATOR_HOST.*allow_http"):
        await storage.entries()


# The bucket and its key.


async def test_the_key_goes_with_what_is_written_only(gcs: Gcs, tmp_path: Path) -> None:
    with S3Faults(gcs.server.endpoint) as seen:
        storage = gcs.open(endpoint=seen.address, kms_key_name=KEY)
        await put_of(storage, tmp_path, 14 * MIB)
        await storage.put(f"{NAME}.json", Content(b"{}"))
        assert await content(storage) == bytes_of(14 * MIB)
        await storage.entries()
        keys = {request.method: request.headers[HEADER] for request in seen.requests}
    assert keys == {"POST": KEY, "PUT": KEY, "HEAD": None, "GET": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket": "gs://backups"},
        {"bucket": "backups/vault"},
        {"kms_key_name": "my-key"},
        {"endpoint": "storage.googleapis.com"},
        {"endpoint": "http://gcs:4443"},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SETTINGS.validate_python({"type": "gcs", "bucket": "backups", **wrong})


async def test_a_bucket_that_is_missing_is_told(gcs: Gcs) -> None:
    with pytest.raises(StorageError) as caught:
        await gcs.open(bucket="missing-bucket").put(NAME, Content(b"snapshot"))
    assert "gs://missing-bucket/: the bucket does not exist" in caught.value.message
    assert caught.value.hint == "create it, or check bucket and endpoint"


def test_it_says_where_a_snapshot_lies(fake_gcs: FakeGcs) -> None:
    storage = SETTINGS.validate_python({"type": "gcs", "bucket": "b", "prefix": "prod"}).open()
    assert (storage.kind, storage.location(NAME)) == ("google", f"gs://b/prod/{NAME}")


async def test_without_an_endpoint_google_is_asked(
    gcs: Gcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpProxy("http://127.0.0.1:1", lambda _: status(502)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        with pytest.raises(StorageError):
            await gcs.open(endpoint=None, timeout="1s").entries()
        assert {request.target for request in proxy.requests} == {"storage.googleapis.com:443"}
