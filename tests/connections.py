"""Every kind of connection that the agent makes: each asks for something at an address."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.aws_roles import IDENTITY, ROLE_ARN
from tests.kube import NAMESPACE, TOKEN

from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.lease.kubernetes_store import KubernetesLeaseStore
from raft_snapshot_agent.storage.azure.azure import AzureSettings
from raft_snapshot_agent.storage.gcs.gcs import GcsSettings
from raft_snapshot_agent.storage.s3.multipart import Uploads
from raft_snapshot_agent.storage.s3.s3 import S3Settings, connect
from raft_snapshot_agent.storage.settings import StorageSettings
from raft_snapshot_agent.storage.swift.swift import SwiftSettings
from raft_snapshot_agent.storage.webdav.webdav import WebdavSettings
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.auth.cloud_identity import CloudIdentity
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings


@dataclass(frozen=True, slots=True)
class Way:
    """How to ask."""

    address: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    ca_file: Path | None = None
    proxy: str | None = None
    """In the configuration."""
    timeout: str = "20s"

    def storage(self, kind: type[StorageSettings], name: str, **more: Any) -> StorageSettings:
        common = {"allow_http": True, "timeout": self.timeout, "ca_file": self.ca_file}
        return kind.model_validate({"type": name, **common, "proxy": self.proxy, **more})


Ask = Callable[[], Awaitable[object]]
Open = Callable[[Way], AbstractAsyncContextManager[Ask]]


def _node(way: Way) -> Node:
    tls = {} if way.ca_file is None else {"ca_file": way.ca_file}
    settings = {"timeout": way.timeout, "stall_timeout": way.timeout, "tls": tls}
    return Node(
        way.address,
        VaultSettings.model_validate({"allow_http": True, **settings, "proxy": way.proxy}),
    )


@asynccontextmanager
async def server(way: Way) -> AsyncIterator[Ask]:
    with closing(_node(way)) as node:
        yield lambda: in_thread(partial(node.call, "GET", "sys/leader"))


@asynccontextmanager
async def snapshot(way: Way) -> AsyncIterator[Ask]:
    with closing(_node(way)) as node:
        yield lambda: in_thread(partial(node.open_snapshot, "a-token"))


@asynccontextmanager
async def voucher(way: Way) -> AsyncIterator[Ask]:
    if way.ca_file is not None:
        way.monkeypatch.setenv("SSL_CERT_FILE", str(way.ca_file))
    identity = CloudIdentity("somebody", "check it")
    yield lambda: in_thread(partial(identity.ask, "GET", way.address, {}))


def _s3(way: Way, **more: Any) -> S3Settings:
    keys = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "secret"}
    destination = {"bucket": "backups", "endpoint": way.address}
    settings = way.storage(S3Settings, "s3", **{**keys, **destination, **more})
    assert isinstance(settings, S3Settings)
    return settings


@asynccontextmanager
async def s3(way: Way) -> AsyncIterator[Ask]:
    yield _s3(way).open().entries


@asynccontextmanager
async def s3_lease(way: Way) -> AsyncIterator[Ask]:
    yield _s3(way).lease_store("lease").read


@asynccontextmanager
async def sweep(way: Way) -> AsyncIterator[Ask]:
    yield lambda: in_thread(lambda: list(Uploads(connect(_s3(way))).pending("")))


@asynccontextmanager
async def sts(way: Way) -> AsyncIterator[Ask]:
    (way.folder / "identity").write_text(IDENTITY)
    way.monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(way.folder / "identity"))
    way.monkeypatch.setenv("AWS_ROLE_ARN", ROLE_ARN)
    way.monkeypatch.setenv("AWS_ENDPOINT_URL_STS", way.address)
    nobody = {"access_key_id": None, "secret_access_key": None, "endpoint": "http://127.0.0.1:9"}
    yield _s3(way, **nobody).open().entries


@asynccontextmanager
async def azure(way: Way) -> AsyncIterator[Ask]:
    login = {"container": "backups", "account_name": "backups", "account_key": "c2VjcmV0"}
    yield way.storage(AzureSettings, "azure", endpoint=way.address, **login).open().entries


@asynccontextmanager
async def gcs(way: Way) -> AsyncIterator[Ask]:
    way.monkeypatch.setenv("STORAGE_EMULATOR_HOST", way.address)
    yield way.storage(GcsSettings, "gcs", bucket="backups").open().entries


@asynccontextmanager
async def webdav(way: Way) -> AsyncIterator[Ask]:
    yield way.storage(WebdavSettings, "webdav", url=way.address).open().entries


@asynccontextmanager
async def swift_login(way: Way) -> AsyncIterator[Ask]:
    login = {"auth_url": f"{way.address}/auth/v1.0", "username": "a:b", "password": "secret"}
    yield way.storage(SwiftSettings, "swift", container="c", **login).open().entries


@asynccontextmanager
async def keystone(way: Way) -> AsyncIterator[Ask]:
    user = {"username": "me", "password": "secret", "project_name": "p"}
    login = {"auth_url": f"{way.address}/v3", **user}
    yield way.storage(SwiftSettings, "swift", container="c", **login).open().entries


@asynccontextmanager
async def swift(way: Way) -> AsyncIterator[Ask]:
    token = {"storage_url": f"{way.address}/v1/AUTH_a", "auth_token": "secret"}
    yield way.storage(SwiftSettings, "swift", container="c", **token).open().entries


@asynccontextmanager
async def kubernetes(way: Way) -> AsyncIterator[Ask]:
    cluster = {"server": way.address}
    if way.ca_file is not None:
        cluster["certificate-authority"] = str(way.ca_file)
    document = {
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "agent", "user": {"token": TOKEN}}],
        "contexts": [
            {
                "name": "test",
                "context": {"cluster": "test", "user": "agent", "namespace": NAMESPACE},
            }
        ],
    }
    config = way.folder / "kubeconfig"
    config.write_text(json.dumps(document))
    way.monkeypatch.setenv("KUBECONFIG", str(config))
    lease_store = KubernetesLeaseStore("lease", None)
    try:
        yield lease_store.read
    finally:
        await lease_store.close()


BY_KEY: dict[str, Open] = {
    one.__name__: one
    for one in (server, snapshot, s3, s3_lease, sweep, azure, webdav, swift_login, keystone, swift)
}
"""Those for which the configuration may name a proxy."""
ALL: dict[str, Open] = {
    **BY_KEY,
    **{one.__name__: one for one in (voucher, sts, gcs, kubernetes)},
}


async def said(kind: Open, way: Way) -> str:
    """Open a connection and ask over it; return the error if there is one."""
    async with kind(way) as ask:
        return await error_of(ask)


async def error_of(ask: Ask) -> str:
    """Ask, and return the error if there is one."""
    try:
        await ask()
    except AgentError as error:
        return str(error)
    return ""
