"""Azure Blob Storage: whose credentials are used, and what is refused."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.contract.destinations import SETTINGS, Azure
from tests.contract.sources import MIB, NAME, content, put_of
from tests.http_proxy import Behaviour, HttpProxy, Request, status
from tests.patience import impatient  # noqa: F401 - no test here is about waits
from tests.token_server import TOKEN, TokenServer

from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.azure.account import find_account
from raft_snapshot_agent.storage.azure.azure import connect
from raft_snapshot_agent.storage.azure.login import TokenCache
from raft_snapshot_agent.storage.base import BytesSource, Storage

OTHER_KEY = base64.b64encode(b"another key").decode()
SCOPE = "https://storage.azure.com/.default"
EMPTY = b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
Verb = Callable[[Storage], Awaitable[object]]
VERBS: list[Verb] = [
    lambda storage: storage.put(NAME, BytesSource(b"snapshot")),
    lambda storage: storage.entries(),
    lambda storage: anext(storage.read(NAME)),
]
CLIENT = {"client_id": "the-client", "tenant_id": "the-tenant"}


def opened(**more: Any) -> Storage:
    settings = {"type": "azure", "container": "backups", "timeout": "20s", **more}
    storage: Storage = SETTINGS.validate_python(settings).open()
    return storage


@pytest.fixture
def by_token(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Settings for an empty account that wants a token, as Entra ID gives them."""

    def choose(request: Request) -> Behaviour:
        known = request.headers["Authorization"] == f"Bearer {TOKEN}"
        return status(200, EMPTY) if known else status(401, b"")

    monkeypatch.setenv("AZURE_MSI_ENDPOINT", "http://127.0.0.1:1/metadata/identity")
    with HttpProxy("http://127.0.0.1:1", choose) as store:
        yield {"endpoint": store.address, "account_name": "backups"}


# Keys and signatures.


def connection_string(azure: Azure) -> str:
    server = azure.server
    return (
        f"DefaultEndpointsProtocol=http;AccountName={server.account};"
        f"AccountKey={server.key};BlobEndpoint={server.endpoint};"
    )


async def test_a_connection_string_is_enough(azure: Azure) -> None:
    storage = opened(container=azure.container, connection_string=connection_string(azure))
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert await content(storage) == b"snapshot"


async def test_a_connection_string_may_hold_a_signature(azure: Azure, tmp_path: Path) -> None:
    secret = tmp_path / "connection"
    sas = azure.server.sas(azure.container, "racwdl")
    parts = f"BlobEndpoint={azure.server.endpoint}/;SharedAccessSignature={sas}"
    secret.write_text(f"AccountName={azure.server.account};{parts}")
    storage = opened(container=azure.container, connection_string=f"file://{secret}")
    assert await storage.entries() == []


@pytest.mark.parametrize("mark", ["", "?"])
async def test_a_signature_is_enough(azure: Azure, tmp_path: Path, mark: str) -> None:
    sas = azure.server.sas(azure.container, "racwdl")
    storage = azure.open(account_key=None, sas_token=mark + sas)
    assert await put_of(storage, tmp_path, 14 * MIB) == 14 * MIB
    assert [entry.name for entry in await storage.entries()] == [NAME]
    await storage.delete(NAME)
    assert azure.keys() == []


async def test_a_signature_that_may_only_write_is_enough_for_a_put(
    azure: Azure, tmp_path: Path
) -> None:
    sas = azure.server.sas(azure.container, "cw")
    storage = azure.open(account_key=None, sas_token=sas)
    assert await put_of(storage, tmp_path, 14 * MIB) == 14 * MIB
    with pytest.raises(StorageError):
        await storage.delete(NAME)
    with pytest.raises(StorageDenied) as caught:
        await storage.entries()
    assert "Storage Blob Data Contributor" in caught.value.hint
    assert "sig=" not in str(caught.value)
    assert azure.keys() == [NAME]


@pytest.mark.parametrize(
    "names",
    [
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"),
    ],
)
async def test_the_environment_fills_in_what_is_missing(
    azure: Azure, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names[0], azure.server.account)
    monkeypatch.setenv(names[1], azure.server.key)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azure.server.endpoint)
    assert await opened(container=azure.container).entries() == []


async def test_the_environment_may_hold_a_signature_or_a_connection_string(
    azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    sas = azure.server.sas(azure.container, "rl")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", sas)
    assert await azure.open(account_key=None).entries() == []
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=another")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string(azure))
    assert await opened(container=azure.container).entries() == []


async def test_what_was_set_comes_before_the_environment(
    azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "STORAGE_ACCOUNT_NAME", "STORAGE_CONNECTION_STRING", "STORAGE_SAS_TOKEN", "STORAGE_TOKEN",
        "CONTAINER_NAME", "CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "FEDERATED_TOKEN_FILE",
    ):  # fmt: skip
        monkeypatch.setenv(f"AZURE_{name}", "somebody-elses")
    for name in ("STORAGE_USE_EMULATOR", "SKIP_SIGNATURE", "USE_AZURE_CLI"):
        monkeypatch.setenv(f"AZURE_{name}", "true")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1")
    storage = azure.open()
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert await content(storage) == b"snapshot"


STRING = "AZURE_STORAGE_CONNECTION_STRING"
ENDPOINT = "AZURE_STORAGE_ENDPOINT"
OF_MINE = "https://mine.blob.core.windows.net"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (STRING, f"AccountName=other;AccountKey={OTHER_KEY};EndpointSuffix=core.windows.net"),
        (STRING, "BlobEndpoint=https://other.blob.core.windows.net/;SharedAccessSignature=sig=a"),
        (STRING, "BlobEndpoint=http://127.0.0.1:1/other;SharedAccessSignature=sig=a"),
        (ENDPOINT, "https://other.blob.core.windows.net"),
        (ENDPOINT, "http://127.0.0.1:1/other/"),
    ],
)
def test_a_variable_of_another_account_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    settings = SETTINGS.validate_python(
        {"type": "azure", "container": "backups", "account_name": "mine"}
    )
    settings.check()
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} is of the account other") as caught:
        settings.check()
    assert "names mine" in caught.value.message
    with pytest.raises(ConfigError):
        connect(settings, TokenCache())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (STRING, f"AccountName=mine;AccountKey={OTHER_KEY};BlobEndpoint={OF_MINE}"),
        (STRING, f"BlobEndpoint={OF_MINE};SharedAccessSignature=sig=a"),
        (STRING, "BlobEndpoint=https://store.example;SharedAccessSignature=sig=a"),
        (ENDPOINT, "http://127.0.0.1:1/mine"),
        (ENDPOINT, "https://mine.blob.core.chinacloudapi.cn"),
        (ENDPOINT, "https://store.example"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "other"),
    ],
)
@pytest.mark.parametrize("given", [{"account_name": "mine"}, {"endpoint": OF_MINE}])
def test_a_variable_of_the_same_account_or_of_none_is_used(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, given: dict[str, str]
) -> None:
    monkeypatch.setenv(name, value)
    settings = SETTINGS.validate_python({"type": "azure", "container": "backups", **given})
    settings.check()
    assert find_account(settings, {}).name == "mine"


def test_a_connection_string_in_the_settings_needs_no_account_that_agrees() -> None:
    """Behind a proxy the path of its endpoint need not be an account's name."""
    string = "BlobEndpoint=https://proxy.example/azure;SharedAccessSignature=sig=a"
    settings = {"container": "backups", "account_name": "mine", "connection_string": string}
    SETTINGS.validate_python({"type": "azure", **settings}).check()


async def test_a_key_that_was_rotated_is_used_at_once(azure: Azure, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text(OTHER_KEY)
    storage = azure.open(account_key=f"file://{secret}")
    with pytest.raises(StorageDenied, match="403"):
        await storage.entries()
    secret.write_text(azure.server.key)
    assert await storage.entries() == []


# Identities.


async def test_a_service_principal_logs_in(
    by_token: dict[str, str], tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{tokens.address}/")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", OTHER_KEY)
    assert await opened(**by_token, **CLIENT, client_secret="hush").entries() == []
    (request,) = tokens.requests
    assert (request.method, request.path) == ("POST", "/the-tenant/oauth2/v2.0/token")
    assert tokens.forms == [
        {
            "client_id": "the-client",
            "client_secret": "hush",
            "scope": SCOPE,
            "grant_type": "client_credentials",
        }
    ]


async def test_a_service_principal_may_come_from_the_environment(
    by_token: dict[str, str], tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", tokens.address)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "TENANT_ID"):
        monkeypatch.setenv(f"AZURE_{name}", name)
    assert await opened(**by_token).entries() == []
    assert tokens.forms[0]["client_secret"] == "CLIENT_SECRET"


@pytest.mark.parametrize("said", [{}, CLIENT])
async def test_a_workload_identity_is_exchanged(
    by_token: dict[str, str],
    tokens: TokenServer,
    said: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "token").write_text("token-of-the-pod")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{tokens.address}/")
    monkeypatch.setenv("AZURE_CLIENT_ID", "the-client")
    monkeypatch.setenv("AZURE_TENANT_ID", "the-tenant")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    assert await opened(**by_token, **said).entries() == []
    assert tokens.requests[0].path == "/the-tenant/oauth2/v2.0/token"
    assert tokens.forms == [
        {
            "client_id": "the-client",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": "token-of-the-pod",
            "scope": SCOPE,
            "grant_type": "client_credentials",
        }
    ]


@pytest.mark.parametrize("client", [None, "the-identity"])
async def test_a_managed_identity_is_asked_for(
    by_token: dict[str, str],
    tokens: TokenServer,
    client: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_MSI_ENDPOINT", f"{tokens.address}/metadata/identity/oauth2/token")
    assert await opened(**by_token, client_id=client).entries() == []
    (request,) = tokens.requests
    assert (request.method, request.path) == ("GET", "/metadata/identity/oauth2/token")
    assert request.headers["Metadata"] == "true"
    assert request.query["resource"] == ["https://storage.azure.com"]
    assert request.query.get("client_id") == (client and [client])


async def test_the_azure_cli_is_asked_where_it_was_named(
    by_token: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = tmp_path / "az"
    answer = f'{{"accessToken": "{TOKEN}", "expiresOn": "2099-01-01 00:00:00.000000", '
    cli.write_text(f'#!/bin/sh\necho \'{answer}"tokenType": "Bearer"}}\'\n')
    cli.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("AZURE_USE_AZURE_CLI", "true")
    assert await opened(**by_token).entries() == []


async def test_no_identity_at_all_is_told_soon(by_token: dict[str, str]) -> None:
    with pytest.raises(StorageDenied) as caught:
        await opened(**by_token).entries()
    assert "there are no credentials" in caught.value.message
    assert "managed identity" in caught.value.hint


async def test_a_login_that_is_refused_is_told(
    by_token: dict[str, str], tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "AADSTS7000215: Invalid client secret provided."
    tokens.answer = status(401, {"error": "invalid_client", "error_description": why})
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", tokens.address)
    with pytest.raises(StorageDenied) as caught:
        await opened(**by_token, **CLIENT, client_secret="hush").entries()
    assert f"the login was refused (401 invalid_client {why})" in caught.value.message
    assert "hush" not in str(caught.value)


async def test_a_login_that_does_not_answer_may_pass(
    by_token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://127.0.0.1:1")
    with pytest.raises(StorageUnavailable, match="no connection"):
        await opened(**by_token, **CLIENT, client_secret="hush").entries()


# Mistakes.


@pytest.mark.parametrize(
    ("wrong", "kind", "why"),
    [
        ({"container": "missing"}, StorageError, "the container does not exist"),
        ({"account_key": OTHER_KEY}, LoginRefused, "the login was refused (403"),
        ({"account_key": "%%"}, LoginRefused, "Invalid Access Key"),
        ({"account_name": "nobody"}, LoginRefused, "the login was refused (403"),
        ({"account_key": None, "sas_token": "sig"}, LoginRefused, "SAS"),
        ({"account_key": None, "sas_token": "sig=x&sv=2023-11-03"}, LoginRefused, "403"),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
async def test_each_mistake_has_its_own_message(
    azure: Azure, verb: Verb, wrong: dict[str, str], kind: type[StorageError], why: str
) -> None:
    with pytest.raises(StorageError) as caught:
        await verb(azure.open("vault/", **wrong))
    assert type(caught.value) is kind
    assert why in caught.value.message
    assert caught.value.hint
    text = str(caught.value)
    assert not any(mark in text for mark in ("\n", "RequestId", "sig=", "<", azure.server.key))
    assert azure.keys() == []


async def test_reading_what_is_not_there_is_told(azure: Azure) -> None:
    with pytest.raises(SnapshotNotFound, match=f"read {NAME} in az://"):
        await anext(azure.open().read(NAME))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "name of the storage account is missing"),
        ({"connection_string": "AccountName=backups"}, "neither AccountKey nor"),
        (
            {"connection_string": "AccountName=a;AccountKey=a2V5;BlobEndpoint=http://azurite:1/a"},
            "allow_http",
        ),
        ({"account_name": "backups", "account_key": "env://NOT_SET"}, "NOT_SET"),
    ],
)
async def test_what_cannot_work_fails_this_storage_alone(more: dict[str, str], why: str) -> None:
    with pytest.raises(StorageDenied, match=why):
        await opened(**more).entries()


@pytest.mark.parametrize(
    "wrong",
    [
        {"container": "Backups"},
        {"container": "backups/vault"},
        {"account_name": "backups.blob.core.windows.net"},
        {"account_key": "a", "sas_token": "b"},
        {"client_secret": "hush", "client_id": "the-client"},
        {"endpoint": "http://azurite:10000/backups"},
        {"endpoint": "azurite:10000"},
        {"access_tier": "Archive"},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SETTINGS.validate_python({"type": "azure", "container": "backups", **wrong})


async def test_blobs_are_put_into_the_tier(azure: Azure, tmp_path: Path) -> None:
    storage = azure.open(access_tier="Cool")
    await put_of(storage, tmp_path, 14 * MIB)
    await storage.put(f"{NAME}.json", BytesSource(b"{}"))
    assert azure.server.tiers(azure.container) == {NAME: "Cool", f"{NAME}.json": "Hot"}


SIGNATURE = "SharedAccessSignature=sig=x"


@pytest.mark.parametrize(
    ("more", "host"),
    [
        ({"account_name": "mine", "account_key": OTHER_KEY}, "mine.blob.core.windows.net"),
        (
            {"connection_string": f"BlobEndpoint=https://mine.blob.core.windows.net/;{SIGNATURE}"},
            "mine.blob.core.windows.net",
        ),
        (
            {"connection_string": f"AccountName=mine;EndpointSuffix=example.org;{SIGNATURE}"},
            "mine.blob.example.org",
        ),
    ],
)
async def test_where_an_account_answers(
    more: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy, as its name is not in the DNS here."""
    with HttpProxy("http://127.0.0.1:1", lambda _: status(502)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        with pytest.raises(StorageError):
            await opened(**more).entries()
        assert {request.target for request in proxy.requests} == {f"{host}:443"}


def test_it_says_where_a_snapshot_lies() -> None:
    storage = opened(prefix="prod")
    assert (storage.kind, storage.location(NAME)) == ("azure", f"az://backups/prod/{NAME}")


# An endpoint that holds the container.


@pytest.mark.parametrize(
    ("endpoint", "mend"),
    [
        ("https://example.blob.core.windows.net/backups", "https://example.blob.core.windows.net"),
        ("https://example.blob.core.windows.net/example", "https://example.blob.core.windows.net"),
        ("https://azure.example.org/example/backups", "https://azure.example.org/example"),
        ("https://azure.example.org/backups", "https://azure.example.org"),
    ],
)
def test_an_endpoint_that_holds_the_container_is_refused(
    endpoint: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: dict[str, Any] = {"type": "azure", "container": "backups", "account_name": "example"}
    with pytest.raises(ValidationError, match=f"anyway: write {mend} "):
        SETTINGS.validate_python({**named, "endpoint": endpoint})
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", endpoint)
    with pytest.raises(ConfigError, match=f"anyway: write {mend}$"):
        SETTINGS.validate_python(named).check()


def test_an_account_that_is_called_as_its_container_is_taken() -> None:
    named = {"type": "azure", "container": "backups", "account_name": "backups"}
    SETTINGS.validate_python({**named, "endpoint": "https://azure.example.org/backups"}).check()


@pytest.mark.parametrize("rights", ["", "rwdl"])
async def test_names_of_any_form_do_not_end_a_list(azure: Azure, rights: str) -> None:
    azure.plant(["vault//x", "vault/a b+c%2F", "vault/\u202e", "vault/d/e"])
    sas: dict[str, Any] = {}
    if rights:
        sas = {"account_key": None, "sas_token": azure.server.sas(azure.container, rights)}
    storage = azure.open("vault/", **sas)
    await storage.put(NAME, BytesSource(b"snapshot"))
    names = {entry.name for entry in await storage.entries()}
    assert names == {NAME, "a b+c%2F", "\u202e"}


PAGE = (
    b"<EnumerationResults><Blobs><Blob><Name>a</Name><Properties><Content-Length>1"
    b"</Content-Length></Properties></Blob></Blobs><NextMarker>m</NextMarker></EnumerationResults>"
)


async def test_pages_that_do_not_end_are_told(azure: Azure) -> None:
    with HttpProxy(azure.server.endpoint, lambda _: status(200, PAGE)) as proxy:
        with pytest.raises(StorageError, match="do not come to an end"):
            await azure.open(endpoint=f"{proxy.address}/a").entries()
        assert len(proxy.requests) < 20


async def test_a_container_with_too_many_blobs_is_told(azure: Azure) -> None:
    azure.plant(map(str, range(4)))
    with pytest.raises(StorageError, match="more than 3 objects"):
        await azure.open(max_objects=3).entries()
