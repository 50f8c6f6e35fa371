"""Through a forward proxy that demands a password, and as the official command line does it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from tests.cluster.command import call
from tests.contract.destinations import S3, Swift, Webdav
from tests.forward_proxy import (
    HERE,
    KINDS,
    PASSWORD,
    USER,
    Own,
    answering,
    forward_proxy,
    forwarding,
    url,
)
from tests.http_proxy import HttpProxy, pass_through, status
from tests.stores.fixtures import Account, Served
from tests.tls_proxy import TlsProxy

from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import program
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings


@pytest.fixture
def storages(
    tmp_path: Path,
    webdav: Served,
    swift_server: Account,
    container: str,
    seaweed: SeaweedFS,
    bucket: str,
) -> list[dict[str, Any]]:
    """By name, each through the proxy that $PROXY names."""
    destinations: list[Webdav | Swift | S3] = [
        Webdav(webdav, tmp_path),
        Swift(swift_server, container, tmp_path),
        S3(seaweed, bucket, tmp_path),
    ]
    through = [destination.settings("vault/", proxy="env://PROXY") for destination in destinations]
    return [one | {"name": one["type"]} for one in through]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_goes_through_a_proxy_with_a_password(
    kind: str, tmp_path: Path, bao: OpenBaoCluster, storages: list[dict[str, Any]]
) -> None:
    address = bao.leader().address
    vault = {"address": address, "auth": {"method": "token", "token": bao.root_token}}
    path = tmp_path / "config.json"
    document = {"vault": vault, "spool": str(tmp_path), "storages": storages}
    path.write_text(json.dumps(document))
    with forward_proxy(kind, tmp_path) as proxy:
        env = {"PROXY": url(proxy), "BAO_PROXY_ADDR": url(proxy), "NO_PROXY": "*"}
        for arguments in (("save",), ("verify", "--all"), ("doctor",)):
            ended = call(*arguments, "--config", path, env=env)
            assert ended.code == 0, ended.talk + ended.text
            assert PASSWORD not in ended.talk + ended.text
        assert "the proxy 127.0.0.1:" in ended.text  # doctor: it reads along
        shown = call("config", "show", "--config", path, env=env)
        assert PASSWORD not in shown.text
        asked = {urlsplit(target).netloc or target for target in proxy.asked}
    stores = {
        urlsplit(one.get("url") or one.get("endpoint") or one["auth_url"]) for one in storages
    }
    assert {one.netloc for one in stores} | {urlsplit(address).netloc} <= asked


def test_an_error_of_a_command_names_the_proxy(
    tmp_path: Path, bao: OpenBaoCluster, storages: list[dict[str, Any]]
) -> None:
    vault = {"address": bao.leader().address, "auth": {"method": "token", "token": bao.root_token}}
    path = tmp_path / "config.json"
    document = {"vault": vault, "spool": str(tmp_path), "storages": storages}
    path.write_text(json.dumps(document))
    with answering(forwarding()) as proxy:
        wrong = url(proxy, USER, "wrong-word-of-proxy")
        ended = call("save", "--config", path, env={"PROXY": wrong})
        named = f"through the proxy 127.0.0.1:{proxy.port} (set by the storage's key proxy): "
        assert ended.code == 2
        assert ended.talk.count(f"{named}the proxy refuses the user name and password (407") >= 3
        ended = call("save", "--config", path, env={"PROXY": wrong, "VAULT_HTTP_PROXY": wrong})
    assert ended.code == 2
    assert f"through the proxy 127.0.0.1:{proxy.port} (set by VAULT_HTTP_PROXY): " in ended.error


ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"HTTP_PROXY": "P"},
    {"http_proxy": "P"},
    {"HTTP_PROXY": "P", "http_proxy": "http://127.0.0.1:9"},
    {"HTTPS_PROXY": "P"},
    {"HTTP_PROXY": "P", "NO_PROXY": "0.0.0.0/8"},
    {"HTTP_PROXY": "P", "no_proxy": "*"},
    {"HTTP_PROXY": "P", "NO_PROXY": "0.0.0.0"},
    {"HTTP_PROXY": "P", "NO_PROXY": "x.example, 0.0.0.0:PORT"},
    {"HTTP_PROXY": "P", "NO_PROXY": "0.0.0.0:1"},
    {"HTTP_PROXY": "P", "NO_PROXY": ".0.0.0"},
    {"HTTP_PROXY": "P", "NO_PROXY": "0.0.0"},
    {"HTTP_PROXY": "P", "NO_PROXY": "0.0.0.0 1.2.3.4"},
    {"HTTP_PROXY": "P", "NO_PROXY": "a.example", "no_proxy": "*"},
    {"HTTP_PROXY": "P", "REQUEST_METHOD": "GET"},
    {"HTTP_PROXY": "P", "BAO_ADDR": "http://127.0.0.1:PORT"},
    {"HTTP_PROXY": "P", "BAO_ADDR": "http://localhost:PORT"},
    {"BAO_PROXY_ADDR": "P"},
    {"BAO_PROXY_ADDR": "P", "NO_PROXY": "*"},
    {"BAO_PROXY_ADDR": "P", "BAO_ADDR": "http://127.0.0.1:PORT"},
    {"VAULT_PROXY_ADDR": "P"},
    {"VAULT_HTTP_PROXY": "P"},
    {"BAO_HTTP_PROXY": "P", "VAULT_HTTP_PROXY": "http://127.0.0.1:9"},
    {"VAULT_PROXY_ADDR": "P", "BAO_HTTP_PROXY": "http://127.0.0.1:9"},
    {"BAO_PROXY_ADDR": "", "VAULT_PROXY_ADDR": "P"},
]


@pytest.fixture
def reader() -> Iterator[HttpProxy]:
    with HttpProxy("http://127.0.0.1:1", lambda _: status(404, {"errors": []})) as server:
        yield server


@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=str)
def test_proxies_are_chosen_as_the_official_command_line_does(
    environ: dict[str, str], reader: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(urlsplit(reader.address).port)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with answering(forwarding()) as proxy:
        values = {key: value.replace("PORT", port) for key, value in environ.items()}
        values = {key: url(proxy) if value == "P" else value for key, value in values.items()}
        values = {"BAO_ADDR": f"http://{HERE}:{port}", "BAO_MAX_RETRIES": "0", **values}
        expected = _went(proxy, reader, lambda: _official(values))
        for key, value in values.items():
            monkeypatch.setenv(key, value)
        assert _went(proxy, reader, lambda: _ours(values)) == expected


def _went(proxy: Own, reader: HttpProxy, ask: Any) -> tuple[bool, bool]:
    """Say whether the proxy was asked, and who is behind it."""
    before = len(proxy.asked), len(reader.requests)
    ask()
    return len(proxy.asked) > before[0], len(reader.requests) > before[1]


def _official(environ: dict[str, str]) -> None:
    command = [program("bao"), "read", "sys/leader"]
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "BAO_TOKEN": "t", **environ}
    subprocess.run(command, env=env, check=False, capture_output=True, timeout=60)


def _ours(environ: dict[str, str]) -> None:
    settings = VaultSettings().with_environment(environ)
    with contextlib.suppress(AgentError):
        node = Node(settings.addresses[0], settings)
        node.call("GET", "sys/leader")
        node.close()


@pytest.mark.parametrize("trusted", ["root", "intermediate", "several", "own", "another"])
@pytest.mark.parametrize("where", ["CACERT", "CAPATH"])
def test_chains_are_trusted_as_the_official_command_line_does(
    trusted: str, where: str, bao: OpenBaoCluster, tmp_path: Path
) -> None:
    root = trustme.CA()
    intermediate = root.create_child_ca()
    with TlsProxy(bao.leader().address, lambda _: pass_through, intermediate) as server:
        another = trustme.CA().cert_pem.bytes()
        authorities = {
            "root": root.cert_pem.bytes(),
            "intermediate": intermediate.cert_pem.bytes(),
            "several": another + intermediate.cert_pem.bytes() + another,
            "own": server.certificate,
            "another": another,
        }
        folder = tmp_path / "authorities" / "below"
        folder.mkdir(parents=True)
        (folder / "ca.pem").write_bytes(authorities[trusted])
        there = folder / "ca.pem" if where == "CACERT" else folder.parent
        environ = {"BAO_ADDR": server.address, f"BAO_{where}": str(there)}
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ}
        official = subprocess.run(
            [program("bao"), "status"], env=env, check=False, capture_output=True, timeout=60
        )
        settings = VaultSettings().with_environment(environ)
        node = Node(settings.addresses[0], settings)
        if official.returncode == 0:
            assert node.identity().initialized
        else:
            with pytest.raises(AgentError, match=r"not trusted.* \(none in vault\.tls\.ca_file"):
                node.identity()
        node.close()
    assert (official.returncode == 0) == (trusted != "another")
