"""What is asked, with which headers, and what is made of the answers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request, pass_through, status
from tests.lying import LyingProxy
from tests.unit.vault.conftest import Listeners

from raft_snapshot_agent import __version__
from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.errors import AgentError, ConfigError, Denied, Sealed, ServerError
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.vault.answers import Identity, LeaderStatus, Redirected, refusal
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.session import Session
from raft_snapshot_agent.vault.settings import VaultSettings

TOKEN = "hvs.CAESIJ1pOMGtQgbwLhRmCXKV8tdTnNoKhm0K"
LEADER, SEAL, SNAPSHOT = (
    "/v1/sys/leader",
    "/v1/sys/seal-status",
    "/v1/sys/storage/raft/snapshot",
)


@pytest.fixture
def proxy(bao: OpenBaoCluster) -> Iterator[LyingProxy]:
    with LyingProxy(bao.leader().address) as lying:
        yield lying


@pytest.fixture
def node(proxy: LyingProxy) -> Iterator[Node]:
    one = Node(proxy.address, VaultSettings())
    yield one
    one.close()


def test_every_request_carries_what_servers_want_to_see(
    proxy: LyingProxy, node: Node, bao: OpenBaoCluster, approle: AppRole
) -> None:
    session = Session(_method(approle))
    node.leader_status()
    node.identity()
    node.open_snapshot(session.token(node)).stop()
    with pytest.raises(Denied):
        node.send_snapshot(session.token(node), io.BytesIO(b"no snapshot"), force=True)
    session.revoke(node)

    assert [(request.method, request.path) for request in proxy.requests] == [
        ("GET", LEADER),
        ("GET", SEAL),
        ("POST", "/v1/auth/approle/login"),
        ("GET", SNAPSHOT),
        ("POST", f"{SNAPSHOT}-force"),
        ("POST", "/v1/auth/token/revoke-self"),
    ]
    for request in proxy.requests:
        assert request.headers["X-Vault-Request"] == "true", request.path
        assert request.headers["X-Vault-Inconsistent"] == "fail", request.path
        assert request.headers["Accept-Encoding"] == "identity", request.path
        assert request.headers["User-Agent"] == f"raft-snapshot-agent/{__version__}"


def test_token_and_namespace_go_only_where_they_belong(
    proxy: LyingProxy, node: Node, approle: AppRole
) -> None:
    session = Session(_method(approle), namespace="root")
    node.leader_status()
    node.identity()
    node.open_snapshot(session.token(node)).stop()

    leader, seal, login, snapshot = proxy.requests
    assert [request.headers["X-Vault-Namespace"] for request in proxy.requests] == [
        None,
        None,
        "root",
        None,
    ]
    assert [request.headers["X-Vault-Token"] for request in (leader, seal, login)] == [None] * 3
    assert snapshot.headers["X-Vault-Token"] == session.token(node)


def test_a_snapshot_comes_whole(node: Node, bao: OpenBaoCluster) -> None:
    applied = node.leader_status().applied_index
    verifier = ArchiveVerifier()
    for chunk in node.open_snapshot(bao.root_token).chunks():
        verifier.feed(chunk)
    assert verifier.finish().meta.index >= applied > 0


def test_a_path_in_the_address_goes_before_every_request(bao: OpenBaoCluster) -> None:
    asked: list[str] = []

    def mounted(request: Request) -> Behaviour:
        asked.append(request.path)
        if not request.path.startswith("/team/vault/v1/"):
            return status(404)
        return lambda exchange: _strip(exchange, "/team/vault")

    with HttpProxy(bao.leader().address, mounted) as ingress:
        node = Node(f"{ingress.address}/team/vault", VaultSettings())
        assert node.leader_status().is_self
        assert node.identity().initialized
        node.open_snapshot(bao.root_token).stop()
        with pytest.raises(ServerError):
            node.send_snapshot(bao.root_token, io.BytesIO(b"no snapshot"), force=False)
        node.close()
    assert asked == [f"/team/vault{path}" for path in (LEADER, SEAL, SNAPSHOT, SNAPSHOT)]


def test_a_leader_says_that_it_leads(node: Node, bao: OpenBaoCluster) -> None:
    said = node.leader_status()
    assert said.is_self
    assert said.ha_enabled
    assert said.leader_address == bao.leader().address
    assert said.applied_index > 0
    assert said.active_since.startswith("20")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"ha_enabled": True, "is_self": False, "raft_applied_index": 7},
            LeaderStatus(False, "", 7),
        ),
        (
            {"ha_enabled": True, "is_self": False, "leader_address": "", "last_wal": 3},
            LeaderStatus(False, "", 0),
        ),
        ({"ha_enabled": False}, LeaderStatus(False, "", 0, ha_enabled=False)),
        (
            {"ha_enabled": True, "is_self": "true", "leader_address": "https://a/"},
            LeaderStatus(False, "https://a", 0),
        ),
        (
            {"ha_enabled": True, "leader_address": "HTTPS://A.example:8200"},
            LeaderStatus(False, "https://A.example:8200", 0),
        ),
        (
            {"ha_enabled": True, "leader_address": "https://me:hunter2@a"},
            LeaderStatus(False, "https://[hidden]@a", 0),
        ),
    ],
)
def test_what_other_nodes_say_of_the_leader(
    proxy: LyingProxy, node: Node, document: dict[str, Any], expected: LeaderStatus
) -> None:
    proxy.override(LEADER, 200, document)
    assert node.leader_status() == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"<html>welcome</html>",
        b'{"is_self":true}',
        b'{"ha_enabled":true,"raft_applied_index":"many"}',
        b'{"ha_enabled":true,"raft_applied_index":Infinity}',
        b'{"ha_enabled":true,"raft_applied_index":[1]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_server_at_all_is_told(proxy: LyingProxy, node: Node, body: bytes) -> None:
    proxy.behave(LEADER, status(200, body))
    with pytest.raises(ServerError, match="does not answer sys/leader as Vault or OpenBao do"):
        node.leader_status()


def test_a_server_that_is_not_initialised_is_told_from_a_sealed_one(
    listeners: Listeners, proxy: LyingProxy, node: Node
) -> None:
    fresh = Node(listeners.plain, VaultSettings())
    with pytest.raises(Sealed, match=r"is not initialised \(initialise it, or let it join"):
        fresh.leader_status()
    fresh.close()
    proxy.override(LEADER, 503, {"errors": ["Vault is sealed"]})
    with pytest.raises(Sealed, match=r"is sealed \(503: Vault is sealed\) \(unseal it, then"):
        node.leader_status()


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (
            200,
            {
                "version": "2.7.2",
                "commit_date": "x",
                "initialized": True,
                "sealed": False,
                "cluster_id": "3f",
                "cluster_name": "prod",
            },
            Identity("3f", "prod", "openbao", "2.7.2"),
        ),
        (
            200,
            {"version": "1.20.1", "build_date": "x", "initialized": True, "sealed": True},
            Identity("", "", "vault", "1.20.1", sealed=True),
        ),
        (200, {"initialized": False}, Identity(initialized=False)),
        (200, [], Identity()),
        (400, {"errors": ["no"]}, Identity()),
        (500, {"errors": ["barrier seal"]}, Identity(trouble="500: barrier seal")),
    ],
)
def test_who_answers(
    proxy: LyingProxy, node: Node, status: int, said: Any, expected: Identity
) -> None:
    proxy.override(SEAL, status, said)
    assert node.identity() == expected


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_handed_up_and_not_followed(proxy: LyingProxy, node: Node, code: int) -> None:
    headers = [("Location", "http://elsewhere/v1/x"), ("Content-Length", "0")]
    proxy.snapshot = lambda exchange: exchange.answer(code, headers, b"")
    with pytest.raises(Redirected) as raised:
        node.open_snapshot(TOKEN)
    assert raised.value.location == "http://elsewhere/v1/x"
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("code", [400, 403, 404, 429, 500, 502, 503])
def test_no_error_repeats_the_token(proxy: LyingProxy, node: Node, code: int) -> None:
    proxy.snapshot = status(code, {"errors": [f"no good: {TOKEN}"]})
    proxy.behave("/v1/x", status(code, f"no good: {TOKEN}".encode()))
    errors: list[AgentError] = []
    for ask in (lambda: node.open_snapshot(TOKEN), lambda: _refused(node)):
        with pytest.raises(AgentError) as raised:
            ask()
        errors.append(raised.value)
    assert not any(TOKEN in f"{error} {error!r} {vars(error)}" for error in errors)


@pytest.mark.parametrize(
    "token", [f"{TOKEN}\nsecond line", f"{TOKEN} ", f"{TOKEN}\0", f"{TOKEN}\u2026", f"{TOKEN}é"]
)
def test_a_token_that_is_none_is_not_sent_and_not_shown(
    proxy: LyingProxy, node: Node, token: str
) -> None:
    asking: list[Callable[[], object]] = [
        lambda: node.open_snapshot(token),
        lambda: node.call("GET", "sys/leader", token=token),
    ]
    for ask in asking:
        with pytest.raises(ConfigError, match="the token contains invalid characters") as raised:
            ask()
        assert TOKEN not in str(raised.value)
    assert proxy.requests == []


def test_a_node_shows_its_address_only(node: Node, proxy: LyingProxy) -> None:
    assert repr(node) == f"Node({proxy.address!r})"


def _method(approle: AppRole) -> AppRoleAuth:
    given = {"role_id": approle.role_id, "secret_id": approle.secret_id}
    return AppRoleAuth.model_validate({"method": "approle", **given})


def _refused(node: Node) -> None:
    raise refusal(node.call("GET", "x", token=TOKEN), node.address, "x")


def _strip(exchange: Exchange, prefix: str) -> None:
    target = exchange.request.target.removeprefix(prefix)
    exchange.request = replace(exchange.request, target=target)
    pass_through(exchange)


def test_the_members_of_the_cluster_are_listed(node: Node, bao: OpenBaoCluster) -> None:
    (member,) = node.list_members(bao.root_token)
    assert member.is_active
    assert member.api_address == bao.leader().address
    assert member.hosts[:2] == ["127.0.0.1", "127.0.0.1"]
    assert node.list_members("hvs.of-nobody") == ()


@pytest.mark.parametrize(
    "said", [[], {"data": 1}, {"data": {"nodes": 5}}, {"data": {"nodes": {"a": 1}}}]
)
def test_what_is_no_list_of_members_is_none(proxy: LyingProxy, node: Node, said: object) -> None:
    proxy.override("/v1/sys/ha-status", 200, said)
    assert node.list_members("hvs.a") == ()


def test_the_servers_of_the_cluster_are_counted(node: Node, bao: OpenBaoCluster) -> None:
    assert node.count_servers(bao.root_token) == 1
    assert node.count_servers("hvs.of-nobody") == 0


@pytest.mark.parametrize(
    "said",
    [[], {"data": 1}, {"data": {"config": []}}, {"data": {"config": {"servers": {"a": 1}}}}],
)
def test_what_is_no_list_of_servers_counts_none(
    proxy: LyingProxy, node: Node, said: object
) -> None:
    proxy.override("/v1/sys/storage/raft/configuration", 200, said)
    assert node.count_servers("hvs.a") == 0


def test_what_a_member_says_of_itself_is_read_with_care(proxy: LyingProxy, node: Node) -> None:
    members = [7, {}, {"api_address": ["a"], "hostname": "[", "active_node": "yes"}]
    members.append({"api_address": "https://[::1]:8200/", "hostname": "vault-0"})
    proxy.override("/v1/sys/ha-status", 200, {"data": {"nodes": members}})
    nothing, odd, good = node.list_members("hvs.a")
    assert (nothing.hosts, nothing.is_active) == ([], False)
    assert (odd.hosts, odd.is_active) == ([], False)
    assert (good.api_address, good.hosts) == ("https://[::1]:8200", ["[::1]", "vault-0"])
