"""Tokens for Azure: kept while they are good, renewed before they end, bounded and never shown."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contract.destinations import SETTINGS
from tests.http_proxy import Behaviour, HttpProxy, Request, hang, status
from tests.token_server import TOKEN, TokenServer

from raft_snapshot_agent.errors import LoginRefused, StorageDenied, StorageError, StorageUnavailable
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.storage.azure import identities
from raft_snapshot_agent.storage.azure.identities import (
    AzureCli,
    AzureToken,
    ManagedIdentity,
    ServicePrincipal,
)
from raft_snapshot_agent.storage.azure.login import TokenCache
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.http.http import Http

EMPTY = b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
HTTP = Http(timedelta(seconds=20), TlsOptions())


class Store:
    """An empty account that wants a token; some of them it takes no more."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self._proxy = HttpProxy("http://127.0.0.1:1", self._choose)
        self.requests = self._proxy.requests
        self.stop = self._proxy.stop

    def open(self, **more: Any) -> Storage:
        account = {"type": "azure", "container": "backups", "account_name": "backups"}
        endpoint = {"endpoint": self._proxy.address, "timeout": "20s"}
        storage: Storage = SETTINGS.validate_python({**account, **endpoint, **more}).open()
        return storage

    def _choose(self, request: Request) -> Behaviour:
        given = request.headers.get("Authorization", "")
        known = given.startswith("Bearer ") and given not in self.refused
        return status(200, EMPTY) if known else status(401, b"")


@pytest.fixture
def store() -> Iterator[Store]:
    running = Store()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def managed(tokens: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_MSI_ENDPOINT", f"{tokens.address}/identity")


async def test_a_token_is_asked_for_once_while_it_is_good(
    store: Store, tokens: TokenServer
) -> None:
    storage = store.open()
    for _ in range(3):
        assert await storage.entries() == []
    assert (len(store.requests), len(tokens.requests)) == (3, 1)


async def test_a_token_that_is_refused_is_replaced_once(store: Store, tokens: TokenServer) -> None:
    storage = store.open()
    await storage.entries()
    store.refused.add(f"Bearer {TOKEN}")
    with pytest.raises(LoginRefused):
        await storage.entries()
    assert len(tokens.requests) == 2
    with pytest.raises(LoginRefused):
        await store.open().entries()
    assert len(tokens.requests) == 3  # a new one that is refused stays so
    tokens.answer = status(200, {"access_token": "another-token", "expires_in": "3600"})
    assert await storage.entries() == []


class Source:
    """Hands out a number with each token."""

    def __init__(self, seconds: float) -> None:
        self.asked = 0
        self.seconds = seconds

    def get(self, _http: Http, _doing: str) -> AzureToken:
        self.asked += 1
        return AzureToken(f"token-{self.asked}", self.seconds)


@pytest.mark.parametrize(("seconds", "until"), [(3600.0, 3300.0), (60.0, 30.0)])
def test_a_token_is_replaced_before_it_ends(seconds: float, until: float) -> None:
    now = 1000.0
    source, cache = Source(seconds), TokenCache(lambda: now)
    assert cache.token(source, HTTP, "x") == "token-1"
    now += until - 1
    assert cache.token(source, HTTP, "x") == "token-1"
    now += 1
    assert cache.token(source, HTTP, "x") == "token-2"


def test_another_identity_gets_another_token() -> None:
    first, second, cache = Source(3600), Source(3600), TokenCache()
    assert cache.token(first, HTTP, "x") == cache.token(first, HTTP, "x") == "token-1"
    cache.token(second, HTTP, "x")
    assert (first.asked, second.asked) == (1, 1)


async def test_an_app_service_is_shown_its_header(
    store: Store, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells when the token ends, and not how long it lasts."""
    monkeypatch.delenv("AZURE_MSI_ENDPOINT")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{tokens.address}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "the-header-of-the-app")
    ends = str(int(time.time()) + 3600)
    tokens.answer = status(200, {"access_token": TOKEN, "expires_on": ends})
    storage = store.open()
    assert await storage.entries() == await storage.entries() == []
    (request,) = tokens.requests
    assert request.headers["X-Identity-Header"] == "the-header-of-the-app"


ODD: list[Any] = [
    b"",
    b"null",
    b"[]",
    b"[" * 100_000,
    b'"token"',
    b'{"access_token": 7, "expires_in": 1}',
    b'{"access_token": "", "expires_in": 1}',
    b'{"access_token": "a-token", "expires_in": "soon"}',
    b'{"access_token": "a-token", "expires_in": 1e999}',
    b'{"access_token": "a-token", "expires_in": NaN}',
    b'{"access_token": "a-token", "expires_in": 1' + b"0" * 400 + b"}",
    b'{"access_token": "a-token", "expires_on": "2099-01-01"}',
]


@pytest.mark.parametrize("answer", ODD, ids=lambda answer: answer[:60].decode())
def test_an_answer_without_a_token_is_told(tokens: TokenServer, answer: bytes) -> None:
    tokens.answer = status(200, answer)
    with pytest.raises(LoginRefused, match=r"cannot list: .* gave no token"):
        ManagedIdentity(f"{tokens.address}/identity").get(HTTP, "cannot list")


@pytest.mark.parametrize("code", [307, 308])
def test_a_redirect_does_not_get_the_secret(tokens: TokenServer, code: int) -> None:
    with HttpProxy("http://127.0.0.1:1", lambda _: status(200, b"{}")) as elsewhere:

        def redirect(exchange: Any) -> None:
            headers = {"location": f"{elsewhere.address}/t", "content-length": "0"}
            exchange.answer(code, headers.items(), b"")

        tokens.answer = redirect
        who = ServicePrincipal(tokens.address, "the-tenant", "the-client", "hush-hush-hush")
        with pytest.raises(LoginRefused, match=f"refused .{code}"):
            who.get(HTTP, "cannot list")
        assert elsewhere.requests == []


def test_a_huge_answer_is_not_read(tokens: TokenServer) -> None:
    tokens.answer = status(200, b" " * (4 << 20))
    with pytest.raises(StorageError, match="longer than"):
        ManagedIdentity(f"{tokens.address}/identity").get(HTTP, "cannot list")


@pytest.mark.parametrize("code", [410, 429, 500, 503])
def test_a_service_that_is_busy_may_pass(tokens: TokenServer, code: int) -> None:
    tokens.answer = status(code, {"error": "busy", "error_description": "later"})
    with pytest.raises(StorageUnavailable, match=f"{code} busy later"):
        ManagedIdentity(f"{tokens.address}/identity").get(HTTP, "cannot list")


@pytest.mark.parametrize(
    ("tag", "kind"),
    [("7783-7084-3265-9085-8269-3286-77\n", StorageUnavailable), ("x", LoginRefused)],
)
def test_only_on_azure_an_instance_that_is_silent_may_pass(
    tag: str, kind: type[StorageError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tag").write_text(tag)
    monkeypatch.setattr(identities, "_TAG", tmp_path / "tag")
    with pytest.raises(StorageError) as caught:
        ManagedIdentity("http://127.0.0.1:1/identity").get(HTTP, "cannot list")
    assert type(caught.value) is kind


async def test_an_identity_service_that_does_not_answer_is_waited_for_once(
    store: Store, tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities, "_TAG", tmp_path / "tag")
    monkeypatch.setattr("raft_snapshot_agent.storage.http.metadata._ANSWER", 0.5)
    tokens.answer = hang
    for _ in range(2):
        with anyio.fail_after(30), pytest.raises(LoginRefused) as caught:
            await store.open(timeout="10m").entries()
        assert "there are no credentials (no answer in time from 127.0.0.1" in caught.value.message
        assert "managed identity" in caught.value.hint
    assert len(tokens.requests) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AZURE_MSI_ENDPOINT", "http://identity.example/token"),
        ("IDENTITY_ENDPOINT", "http://identity.example/token"),
        ("AZURE_AUTHORITY_HOST", "http://login.example"),
    ],
)
async def test_no_token_travels_in_clear(
    store: Store, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_MSI_ENDPOINT")
    monkeypatch.setenv(variable, value)
    with pytest.raises(StorageDenied, match=f"{variable} is {value}"):
        await store.open().entries()


async def test_a_pod_without_its_file_is_told(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLIENT_ID", "TENANT_ID"):
        monkeypatch.setenv(f"AZURE_{name}", "x")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "missing"))
    with pytest.raises(LoginRefused, match=r"federated token file: .*missing"):
        await store.open().entries()


CLI = {
    "gave no token .Please run 'az login'": ("echo \"Please run 'az login'\" >&2; exit 1"),
    "gave no token .exit code 3": "exit 3",
    "az gave no token": "echo '{}'",
}


@pytest.mark.parametrize("why", CLI)
def test_a_cli_that_gives_no_token_is_told(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "az").write_text(f"#!/bin/sh\n{CLI[why]}\n")
    (tmp_path / "az").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(LoginRefused, match=why):
        AzureCli(60.0).get(HTTP, "cannot list")


def test_a_cli_that_is_missing_or_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LoginRefused, match="cannot run az"):
        AzureCli(60.0).get(HTTP, "cannot list")

    def hang(*_: object, **options: Any) -> None:
        raise subprocess.TimeoutExpired("az", options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(StorageUnavailable, match="does not answer"):
        AzureCli(60.0).get(HTTP, "cannot list")


def test_a_token_of_the_cli_lasts_until_it_says() -> None:
    document = {"accessToken": "a-token", "expires_on": int(time.time()) + 3600}
    token = AzureToken.read("x", "az", json.dumps(document).encode())
    assert 3000 < token.seconds <= 3600
    assert "a-token" not in repr(token)
