"""Every kind of connection that the agent makes: each asks for something at an address."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
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


Ask = Callable[[Way], Awaitable[object]]


def _node(way: Way) -> Node:
    tls = {} if way.ca_file is None else {"ca_file": way.ca_file}
    settings = {"timeout": way.timeout, "stall_timeout": way.timeout, "tls": tls}
    return Node(
        way.address,
        VaultSettings.model_validate({"allow_http": True, **settings, "proxy": way.proxy}),
    )


async def server(way: Way) -> object:
    with contextlib.closing(_node(way)) as node:
        return await in_thread(partial(node.call, "GET", "sys/leader"))


async def snapshot(way: Way) -> object:
    with contextlib.closing(_node(way)) as node:
        return await in_thread(partial(node.open_snapshot, "a-token"))


async def voucher(way: Way) -> object:
    if way.ca_file is not None:
        way.monkeypatch.setenv("SSL_CERT_FILE", str(way.ca_file))
    return await in_thread(
        partial(CloudIdentity("somebody", "check it").ask, "GET", way.address, {})
    )


def _s3(way: Way, **more: Any) -> S3Settings:
    keys = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "secret"}
    destination = {"bucket": "backups", "endpoint": way.address}
    settings = way.storage(S3Settings, "s3", **{**keys, **destination, **more})
    assert isinstance(settings, S3Settings)
    return settings


async def s3(way: Way) -> object:
    return await _s3(way).open().entries()


async def s3_lease(way: Way) -> object:
    return await _s3(way).lease_store("lease").read()


async def sweep(way: Way) -> object:
    uploads = Uploads(connect(_s3(way)))
    return await in_thread(lambda: list(uploads.pending("")))


async def sts(way: Way) -> object:
    (way.folder / "identity").write_text(IDENTITY)
    way.monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(way.folder / "identity"))
    way.monkeypatch.setenv("AWS_ROLE_ARN", ROLE_ARN)
    way.monkeypatch.setenv("AWS_ENDPOINT_URL_STS", way.address)
    nobody = {"access_key_id": None, "secret_access_key": None, "endpoint": "http://127.0.0.1:9"}
    return await _s3(way, **nobody).open().entries()


async def azure(way: Way) -> object:
    login = {"container": "backups", "account_name": "backups", "account_key": "c2VjcmV0"}
    return await way.storage(AzureSettings, "azure", endpoint=way.address, **login).open().entries()


async def gcs(way: Way) -> object:
    way.monkeypatch.setenv("STORAGE_EMULATOR_HOST", way.address)
    return await way.storage(GcsSettings, "gcs", bucket="backups").open().entries()


async def webdav(way: Way) -> object:
    return await way.storage(WebdavSettings, "webdav", url=way.address).open().entries()


async def swift_login(way: Way) -> object:
    login = {"auth_url": f"{way.address}/auth/v1.0", "username": "a:b", "password": "secret"}
    return await way.storage(SwiftSettings, "swift", container="c", **login).open().entries()


async def keystone(way: Way) -> object:
    user = {"username": "me", "password": "secret", "project_name": "p"}
    login = {"auth_url": f"{way.address}/v3", **user}
    return await way.storage(SwiftSettings, "swift", container="c", **login).open().entries()


async def swift(way: Way) -> object:
    token = {"storage_url": f"{way.address}/v1/AUTH_a", "auth_token": "secret"}
    return await way.storage(SwiftSettings, "swift", container="c", **token).open().entries()


async def kubernetes(way: Way) -> object:
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
        return await lease_store.read()
    finally:
        await lease_store.close()


BY_KEY: dict[str, Ask] = {
    one.__name__: one
    for one in (server, snapshot, s3, s3_lease, sweep, azure, webdav, swift_login, keystone, swift)
}
"""Those for which the configuration may name a proxy."""
ALL: dict[str, Ask] = {
    **BY_KEY,
    **{one.__name__: one for one in (voucher, sts, gcs, kubernetes)},
}


async def said(ask: Ask, way: Way) -> str:
    """Ask, and return the error if there is one."""
    try:
        await ask(way)
    except AgentError as error:
        return str(error)
    return ""
