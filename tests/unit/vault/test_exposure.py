"""The token leaves this host in clear only where the operator allows it, whoever names the way."""

from __future__ import annotations

from typing import Any

import pytest

from raft_snapshot_agent.errors import ConfigError, ServerError
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.vault.answers import Identity, LeaderStatus, Redirected
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings

REMOTE = "http://192.0.2.7:8200"
AUTH = TokenAuth(method="token", token=Secret("hvs.whatever"))


def cluster(address: str, *, allow: bool = False) -> Cluster:
    return Cluster(VaultSettings(address=address, auth=AUTH, allow_http=allow), "anywhere")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was asked who leads; each says that it stands by, and that REMOTE leads."""
    found: list[str] = []

    def leader_status(node: Node) -> LeaderStatus:
        found.append(node.address)
        return LeaderStatus(node.address == REMOTE, REMOTE, 1, "")

    monkeypatch.setattr(Node, "leader_status", leader_status)
    monkeypatch.setattr(Node, "identity", lambda _: Identity())
    return found


def test_a_configured_address(asked: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        cluster(REMOTE).find_leader()
    assert str(caught.value) == (
        f"{REMOTE} is not encrypted: the token and the snapshot could be read on the way"
        " (use https://, or set vault.allow_http: true)"
    )
    assert asked == []
    assert cluster(REMOTE, allow=True).find_leader().node.address == REMOTE


@pytest.mark.parametrize(
    "address", ["unix:///run/vault.sock", "http://127.0.0.1:8200", "https://vault:8200"]
)
def test_an_announced_leader(asked: list[str], address: str) -> None:
    with pytest.raises(ServerError, match="announces the leader at") as caught:
        cluster(address).find_leader()
    assert "vault.allow_http" in caught.value.hint
    assert asked == [address]


@pytest.mark.parametrize("address", ["unix:///run/vault.sock", "http://127.0.0.1:8200"])
def test_an_announced_leader_where_it_is_allowed(asked: list[str], address: str) -> None:
    assert cluster(address, allow=True).find_leader().node.address == REMOTE


def test_allowing_it_does_not_let_a_server_take_tls_away(asked: list[str]) -> None:
    with pytest.raises(ServerError, match="without TLS"):
        cluster("https://vault:8200", allow=True).find_leader()


def test_a_socket_whose_server_leads_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    leads = LeaderStatus(True, "http://127.0.0.1:8200", 1, "")
    monkeypatch.setattr(Node, "leader_status", lambda _: leads)
    monkeypatch.setattr(Node, "identity", lambda _: Identity())
    socket = "unix:///run/vault.sock"
    assert cluster(socket).find_leader().node.address == socket


@pytest.mark.parametrize("where", [REMOTE, "http://vault:8200"])
def test_a_redirect(asked: list[str], monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    seen: list[str] = []

    def redirect(node: Node, _: str) -> Any:
        seen.append(node.address)
        raise Redirected(node.address, f"{where}/v1/sys/storage/raft/snapshot")

    monkeypatch.setattr(Node, "open_snapshot", redirect)
    asking = cluster("http://127.0.0.1:8200")
    node = asking.node("http://127.0.0.1:8200")
    with pytest.raises(Redirected):
        asking._follow(node, lambda one, token: one.open_snapshot(token))
    assert seen == ["http://127.0.0.1:8200"]
