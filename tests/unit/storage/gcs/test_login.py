"""Google Cloud Storage: whose credentials are used, and what becomes of those that do not work."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from tests.contract.destinations import SETTINGS, Gcs
from tests.contract.sources import MIB, NAME, content, put_of
from tests.fake_gcs import service_account
from tests.http_proxy import Behaviour, HttpProxy, Request, hang, pass_through, status
from tests.token_server import TOKEN, TokenServer

from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.gcs import login

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
INVALID = {
    "error": {"code": 401, "message": "Invalid Credentials", "errors": [{"reason": "authError"}]}
}


class Guarded(HttpProxy):
    """The store, for whom it knows: the holder of `TOKEN`, and of a service account's key."""

    def __init__(self, gcs: Gcs) -> None:
        self._key = gcs.server.key.public_key()
        self.accepted = {TOKEN}
        super().__init__(gcs.server.endpoint, self._choose)

    def _choose(self, request: Request) -> Behaviour:
        token = (request.headers["Authorization"] or "").removeprefix("Bearer ")
        return pass_through if self._knows(token) else status(401, INVALID)

    def _knows(self, token: str) -> bool:
        if token in self.accepted:
            return True
        signed, _, signature = token.rpartition(".")
        try:
            self._key.verify(_decoded(signature), signed.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        assert header == {"alg": "RS256", "typ": "JWT", "kid": "0a1b2c"}
        assert claims["iss"] == claims["sub"] == "agent@project.iam.gserviceaccount.com"
        assert claims["exp"] - claims["iat"] == 3600
        return claims["scope"] == SCOPE and bool(claims["iat"] <= time.time() < claims["exp"])


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
def guarded(gcs: Gcs) -> Iterator[Guarded]:
    with Guarded(gcs) as store:
        yield store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home where gcloud was never used, on a host that is no instance of Google's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setattr(login, "_PRODUCT", tmp_path / "product_name")
    return tmp_path


def ambient(gcs: Gcs, store: Guarded, **more: Any) -> Storage:
    """Open the bucket without naming credentials."""
    settings = gcs.settings(endpoint=store.address, **more)
    del settings["service_account_file"]
    storage: Storage = SETTINGS.validate_python(settings).open()
    return storage


def with_file(gcs: Gcs, store: Guarded, file: Path) -> Storage:
    return gcs.open(endpoint=store.address, service_account_file=file)


def written(folder: Path, document: object) -> Path:
    file = folder / "credentials.json"
    file.write_text(json.dumps(document))
    return file


# Where credentials are looked for.


async def test_the_environment_may_name_a_service_account(
    gcs: Gcs, guarded: Guarded, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gcs.server.credentials))
    storage = ambient(gcs, guarded)
    assert await put_of(storage, home, 20 * MIB) == 20 * MIB
    await storage.put(f"{NAME}.json", BytesSource(b"{}"))
    assert await content(storage, f"{NAME}.json") == b"{}"


@pytest.mark.parametrize("moved", [False, True])
async def test_what_gcloud_left_is_used(
    gcs: Gcs, guarded: Guarded, home: Path, moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / ("elsewhere" if moved else ".config/gcloud")
    if moved:
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder))
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_bytes(
        gcs.server.credentials.read_bytes()
    )
    assert await ambient(gcs, guarded).entries() == []


async def test_the_file_that_was_named_comes_before_the_environment(
    gcs: Gcs, guarded: Guarded, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"):
        monkeypatch.setenv(name, str(home / "missing.json"))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    assert await gcs.open(endpoint=guarded.address).entries() == []


async def test_an_emulator_of_the_environment_gets_nothing_for_a_named_account(
    gcs: Gcs, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names credentials means Google, and not what a shell was last used for."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.server.endpoint)
    settings = gcs.settings(service_account_file=str(gcs.server.credentials))
    del settings["endpoint"]
    assert SETTINGS.validate_python(settings).locate().server == "https://storage.googleapis.com"


def test_a_file_that_the_environment_names_is_checked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"type": "gcs", "bucket": "backups"}
    SETTINGS.validate_python(settings).check()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(home / "missing.json"))
    with pytest.raises(ConfigError, match=r"missing\.json: No such file"):
        SETTINGS.validate_python(settings).check()
    broken = written(home, {"type": "service_account", "client_email": "a@b"})
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(broken))
    with pytest.raises(ConfigError, match="there is no 'private_key'"):
        SETTINGS.validate_python(settings).check()
    SETTINGS.validate_python({**settings, "anonymous": True}).check()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    SETTINGS.validate_python(settings).check()


# Only an ordinary user can be refused.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_home_that_may_not_be_entered_has_no_file_of_gcloud(home: Path) -> None:
    (home / ".config").mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        SETTINGS.validate_python({"type": "gcs", "bucket": "backups"}).check()
    finally:
        os.seteuid(0)


async def test_a_key_that_was_rotated_is_used_at_once(
    gcs: Gcs, guarded: Guarded, tmp_path: Path
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = written(tmp_path, service_account(key))
    storage = with_file(gcs, guarded, file)
    with pytest.raises(LoginRefused, match="401 authError: Invalid Credentials") as caught:
        await storage.entries()
    assert "service_account_file" in caught.value.hint
    file.write_bytes(gcs.server.credentials.read_bytes())
    assert await storage.entries() == []


# The instance's own.


async def test_the_metadata_server_is_asked_once_while_its_token_is_good(
    gcs: Gcs, guarded: Guarded, home: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", tokens.address.removeprefix("http://"))
    storage = ambient(gcs, guarded)
    assert await storage.entries() == await storage.entries() == []
    (request,) = tokens.requests
    assert request.path == "/computeMetadata/v1/instance/service-accounts/default/token"
    assert request.headers["Metadata-Flavor"] == "Google"
    guarded.accepted.clear()  # revoked before its time
    with pytest.raises(LoginRefused):
        await storage.entries()
    assert len(tokens.requests) == 2
    guarded.accepted.add(TOKEN)
    assert await storage.entries() == []


async def test_a_token_is_replaced_before_it_ends(
    gcs: Gcs, guarded: Guarded, home: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", tokens.address.removeprefix("http://"))
    tokens.answer = status(200, {"access_token": TOKEN, "expires_in": 200})
    storage = ambient(gcs, guarded)
    assert await storage.entries() == await storage.entries() == []
    assert len(tokens.requests) == 2


async def test_an_instance_without_a_service_account_is_told(
    gcs: Gcs, guarded: Guarded, home: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", tokens.address.removeprefix("http://"))
    tokens.answer = status(404, b"no such account")
    with pytest.raises(
        LoginRefused, match=r"no service account \(404 Not Found: no such account\)"
    ):
        await ambient(gcs, guarded).entries()


async def test_a_metadata_server_that_does_not_answer_is_waited_for_once(
    gcs: Gcs, guarded: Guarded, home: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", tokens.address.removeprefix("http://"))
    monkeypatch.setattr("raft_snapshot_agent.storage.http.metadata._ANSWER", 0.5)
    tokens.answer = hang
    for _ in range(2):
        with anyio.fail_after(30), pytest.raises(LoginRefused) as caught:
            await ambient(gcs, guarded, timeout="10m").entries()
        assert "there are no credentials" in caught.value.message
        assert "no answer in time from 127.0.0.1" in caught.value.message
        assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint
    assert len(tokens.requests) == 1


@pytest.mark.parametrize("verb", ["entries", "put"])
async def test_no_credentials_at_all_are_told_soon(
    gcs: Gcs, guarded: Guarded, home: Path, verb: str
) -> None:
    storage = ambient(gcs, guarded, timeout="1s")
    with pytest.raises(LoginRefused) as caught:
        await (storage.entries() if verb == "entries" else storage.put(NAME, BytesSource(b"x")))
    assert "there are no credentials" in caught.value.message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint
    assert guarded.requests == []


async def test_on_googles_machines_a_metadata_server_may_come_later(
    gcs: Gcs, guarded: Guarded, home: Path
) -> None:
    (home / "product_name").write_text("Google Compute Engine\n")
    with pytest.raises(StorageUnavailable):
        await ambient(gcs, guarded, timeout="1s").entries()


# A user's, and those that other tokens are exchanged for.


def user(tokens: TokenServer) -> dict[str, str]:
    return {
        "type": "authorized_user",
        "client_id": "the-client",
        "client_secret": "hush-client",
        "refresh_token": "hush-refresh",
        "token_uri": f"{tokens.address}/token",
    }


def federation(folder: Path, tokens: TokenServer, source: dict[str, Any]) -> dict[str, Any]:
    """Write what Google's console hands out for a cluster elsewhere."""
    (folder / "subject").write_text("hush-subject")
    (folder / "subject.json").write_text('{"jwt": "hush-subject"}')
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{tokens.address}/v1/token",
        "credential_source": source,
    }


async def test_a_users_token_is_refreshed(
    gcs: Gcs, guarded: Guarded, tmp_path: Path, tokens: TokenServer
) -> None:
    assert await with_file(gcs, guarded, written(tmp_path, user(tokens))).entries() == []
    (form,) = tokens.forms
    assert form == {
        "grant_type": "refresh_token",
        "client_id": "the-client",
        "client_secret": "hush-client",
        "refresh_token": "hush-refresh",
    }


@pytest.mark.parametrize("kind", ["file", "json", "url"])
async def test_a_federated_token_is_exchanged(
    gcs: Gcs, guarded: Guarded, tmp_path: Path, tokens: TokenServer, kind: str
) -> None:
    sources: dict[str, dict[str, Any]] = {
        "file": {"file": str(tmp_path / "subject")},
        "json": {
            "file": str(tmp_path / "subject.json"),
            "format": {"type": "json", "subject_token_field_name": "jwt"},
        },
        "url": {
            "url": f"{tokens.address}/subject",
            "headers": {"Metadata": "True"},
            "format": {"type": "json", "subject_token_field_name": "access_token"},
        },
    }
    file = written(tmp_path, federation(tmp_path, tokens, sources[kind]))
    storage = with_file(gcs, guarded, file)
    assert await put_of(storage, tmp_path, 20 * MIB) == 20 * MIB
    form = tokens.forms[-1]
    assert form["subject_token"] == (TOKEN if kind == "url" else "hush-subject")
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert [one.headers["Metadata"] for one in tokens.requests if one.path == "/subject"] == (
        ["True"] if kind == "url" else []
    )


async def test_amazons_keys_are_exchanged(
    gcs: Gcs,
    guarded: Guarded,
    tmp_path: Path,
    tokens: TokenServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    document = federation(
        tmp_path,
        tokens,
        {
            "environment_id": "aws1",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com"
            "?Action=GetCallerIdentity&Version=2011-06-15",
        },
    )
    document["subject_token_type"] = "urn:ietf:params:aws:token-type:aws4_request"
    assert await with_file(gcs, guarded, written(tmp_path, document)).entries() == []
    (form,) = tokens.forms
    assert "sts.eu-central-1.amazonaws.com" in form["subject_token"]
    assert "hush" not in form["subject_token"]


async def test_a_federated_token_may_impersonate(
    gcs: Gcs, guarded: Guarded, tmp_path: Path, tokens: TokenServer
) -> None:
    document = federation(tmp_path, tokens, {"file": str(tmp_path / "subject")})
    account = "projects/-/serviceAccounts/a@p.iam.gserviceaccount.com"
    document["service_account_impersonation_url"] = (
        f"{tokens.address}/v1/{account}:generateAccessToken"
    )
    tokens.also("generateAccessToken", {"accessToken": TOKEN, "expireTime": "2099-01-01T00:00:00Z"})
    assert await with_file(gcs, guarded, written(tmp_path, document)).entries() == []
    assert [one.path.rpartition(":")[2] for one in tokens.requests][-1] == "generateAccessToken"


async def test_the_environment_may_name_any_kind(
    gcs: Gcs, guarded: Guarded, home: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(home, federation(home, tokens, {"file": str(home / "subject")}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert await ambient(gcs, guarded).entries() == []


@pytest.mark.parametrize("kind", ["user", "federation"])
async def test_a_login_that_is_refused_is_told(
    gcs: Gcs, guarded: Guarded, tmp_path: Path, tokens: TokenServer, kind: str
) -> None:
    refused = {"error": "invalid_grant", "error_description": "The audience is not known."}
    tokens.answer = status(400, refused)
    source = {"file": str(tmp_path / "subject")}
    document = user(tokens) if kind == "user" else federation(tmp_path, tokens, source)
    with pytest.raises(LoginRefused) as caught:
        await with_file(gcs, guarded, written(tmp_path, document)).entries()
    assert "the login was refused" in caught.value.message
    assert "invalid_grant" in caught.value.message
    assert "The audience is not known." in caught.value.message
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("kind", ["user", "federation"])
@pytest.mark.parametrize("busy", [True, False])
async def test_an_exchange_that_does_not_answer_may_pass(
    gcs: Gcs, guarded: Guarded, tmp_path: Path, tokens: TokenServer, kind: str, busy: bool
) -> None:
    tokens.answer = status(503, b"busy")
    source = {"file": str(tmp_path / "subject")}
    document = user(tokens) if kind == "user" else federation(tmp_path, tokens, source)
    file = written(tmp_path, document)
    if not busy:
        file.write_text(file.read_text().replace(tokens.address, "http://127.0.0.1:1"))
    with pytest.raises(
        StorageUnavailable, match="503 Service Unavailable: busy" if busy else "no connection"
    ):
        await with_file(gcs, guarded, file).entries()


async def test_what_needs_googles_library_says_so(
    gcs: Gcs,
    guarded: Guarded,
    tmp_path: Path,
    tokens: TokenServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == "google"]:
        monkeypatch.setitem(sys.modules, name, None)
    file = written(tmp_path, federation(tmp_path, tokens, {"file": str(tmp_path / "subject")}))
    with pytest.raises(StorageDenied) as caught:
        await with_file(gcs, guarded, file).entries()
    assert "pip install 'raft-snapshot-agent[gcs-federation]'" in str(caught.value)
    # All others do without.
    assert await with_file(gcs, guarded, gcs.server.credentials).entries() == []
    assert await with_file(gcs, guarded, written(tmp_path, user(tokens))).entries() == []


async def test_requests_is_not_needed(
    gcs: Gcs,
    guarded: Guarded,
    tmp_path: Path,
    tokens: TokenServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _without("requests", monkeypatch):
        file = written(tmp_path, federation(tmp_path, tokens, {"file": str(tmp_path / "subject")}))
        assert await with_file(gcs, guarded, file).entries() == []


@contextmanager
def _without(package: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for name in [
            one for one in sys.modules if one.startswith(("google.auth", "google.oauth2"))
        ]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, package, None)
        yield


# Files that are no credentials.


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "of which type"),
        ('{"client_email": "x"}', "of which type"),
        ('{"type": "invented"}', "invented is no kind of credentials"),
        ('{"type": 7}', "7 is no kind of credentials"),
        ('{"type": "service_account"}', "there is no 'client_email'"),
        ('{"type": "service_account", "client_email": "x", "private_key": "x"}', "no private key"),
        ('{"type": "authorized_user"}', "there is no 'client_id'"),
        ('{"type": "external_account"}', "cannot use the Google credentials"),
        ('{"type": "external_account", "credential_source": 7}', "cannot use the Google"),
        ('{"type": "impersonated_service_account"}', "cannot use the Google credentials"),
    ],
)
async def test_a_file_that_is_no_credentials_is_told(
    gcs: Gcs, guarded: Guarded, tmp_path: Path, text: str, why: str
) -> None:
    file = tmp_path / "key.json"
    file.write_text(text)
    with pytest.raises(LoginRefused, match=why) as caught:
        await with_file(gcs, guarded, file).entries()
    assert str(file) in caught.value.message
    assert caught.value.hint
    assert guarded.requests == []


async def test_a_file_that_is_missing_is_told(gcs: Gcs) -> None:
    with pytest.raises(LoginRefused, match=r"/missing\.json: No such file"):
        await gcs.open(service_account_file="/missing.json").entries()


async def test_without_an_endpoint_google_is_asked(
    gcs: Gcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpProxy("http://127.0.0.1:1", lambda _: status(502)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        with pytest.raises(StorageError):
            await gcs.open(endpoint=None, timeout="1s").entries()
        assert {request.target for request in proxy.requests} == {"storage.googleapis.com:443"}
