"""Without a token of our own, behind a real proxy on this host that adds its."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from tests.conftest import StartBao

from raft_snapshot_agent.errors import Denied
from raft_snapshot_agent.servers.openbao import OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import ServerProcess, program, until
from raft_snapshot_agent.vault.auth.none import NoAuth
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings


@pytest.fixture
def cluster(start_bao: StartBao) -> OpenBaoCluster:
    return start_bao()


@pytest.fixture
def proxy(cluster: OpenBaoCluster, tmp_path: Path) -> Iterator[str]:
    """The address of a real OpenBao Proxy, on a unix socket, that asks for X-Vault-Request."""
    role = prepare_agent(cluster)
    for name in ("role_id", "secret_id"):
        (tmp_path / name).write_text(getattr(role, name))
    files = {f"{name}_file_path": str(tmp_path / name) for name in ("role_id", "secret_id")}
    socket = tmp_path / "proxy.sock"
    listener = {"address": str(socket), "tls_disable": True, "require_request_header": True}
    settings = {
        "vault": {"address": cluster.leader().address},
        "auto_auth": {
            "method": [
                {
                    "type": "approle",
                    "config": {**files, "remove_secret_id_file_after_reading": False},
                }
            ]
        },
        "api_proxy": {"use_auto_auth_token": True},
        "listener": [{"unix": listener}],
    }
    config = tmp_path / "proxy.json"
    config.write_text(json.dumps(settings))
    command = [program("bao"), "proxy", f"-config={config}"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    process = ServerProcess("proxy", command, tmp_path / "proxy.log", environment)
    process.start()
    try:
        until(socket.exists, "the proxy listens", within=60)
        yield f"unix://{socket}"
    finally:
        process.kill()


@pytest.mark.parametrize("run_on", ["leader", "anywhere"])
def test_a_proxy_on_a_unix_socket_adds_its_token(
    proxy: str, run_on: Literal["leader", "anywhere"]
) -> None:
    cluster = Cluster(VaultSettings(address=proxy, auth=NoAuth(method="none")), run_on)

    def taken() -> bool:
        try:
            stream = cluster.open_snapshot(cluster.find_leader_for_this_agent())
        except Denied:  # it has not logged in yet
            return False
        return len(b"".join(stream.chunks())) > 0

    until(taken, "the proxy has a token", within=60)
    cluster.keep_token()
    cluster.revoke_token()
    assert cluster.session.logins == 0
    assert taken()
    cluster.close()


def test_without_a_proxy_none_is_refused_with_a_hint(cluster: OpenBaoCluster) -> None:
    settings = VaultSettings(address=cluster.leader().address, auth=NoAuth(method="none"))
    asked = Cluster(settings, "leader")
    with pytest.raises(Denied, match=r"permission denied|missing client token"):
        asked.open_snapshot(asked.find_leader_for_this_agent())
    asked.close()
    node = Node(settings.addresses[0], settings)
    assert node.call("GET", "sys/storage/raft/snapshot", token="").status == 403
    node.close()
