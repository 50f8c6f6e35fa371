"""Redirects are followed inside the cluster, and the token goes nowhere else."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.cluster.recording import settled
from tests.elections import standbys
from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request, pass_through, status
from tests.lying import SNAPSHOT_PATH, LyingProxy, redirect
from tests.tls_proxy import TlsProxy

from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshots.snapshot import Snapshot
from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.node_options import NodeOptions
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent
from raft_snapshot_agent.vault.answers import Identity, Redirected
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.settings import VaultSettings

WHO_LEADS = "/v1/sys/leader"
StartCluster = Callable[..., Cluster]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoCluster]:
    """Two nodes whose standby redirects everybody, as Vault's does."""
    options = NodeOptions(server={"disable_standby_reads": True})
    folder = tmp_path_factory.mktemp("strict")
    with OpenBaoCluster.start(folder, nodes=2, options=options) as cluster:
        settled(cluster.nodes)
        yield cluster


@pytest.fixture
def recorder(bao: OpenBaoCluster) -> Iterator[HttpProxy]:
    """A host outside the cluster that would serve anybody who comes."""
    with HttpProxy(bao.leader().address, lambda _: pass_through) as proxy:
        yield proxy


@pytest.fixture
def cluster() -> Iterator[StartCluster]:
    made: list[Cluster] = []

    def make(token: str, *addresses: str, **tls: Any) -> Cluster:
        auth = {"method": "token", "token": token}
        given = {"nodes": addresses, "auth": auth, "tls": tls}
        made.append(Cluster(VaultSettings.model_validate(given), "anywhere"))
        return made[-1]

    yield make
    for one in made:
        one.close()


def at(cluster: Cluster, address: str) -> Leader:
    """Pretend that the node at this address was found to lead."""
    return Leader(cluster.node(address), 0, "", Identity())


def leading(cluster: Cluster, address: str) -> Leader:
    """Find the node at this address to lead."""
    leader = at(cluster, address)
    return replace(leader, active_since=leader.node.leader_status().active_since)


def taken(cluster: Cluster, leader: Leader) -> Snapshot:
    verifier = ArchiveVerifier()
    for chunk in cluster.open_snapshot(leader).chunks():
        verifier.feed(chunk)
    return verifier.finish()


def standby(strict: OpenBaoCluster) -> OpenBaoNode:
    (node,) = standbys(strict)
    return node


def test_a_standbys_redirect_leads_to_the_leaders_own_snapshot(
    strict: OpenBaoCluster, cluster: StartCluster
) -> None:
    asking = cluster(strict.root_token, standby(strict).address)
    applied = strict.leader().api("GET", "sys/leader")["raft_applied_index"]
    snapshot = taken(asking, at(asking, standby(strict).address))
    assert snapshot.meta.index >= applied


def test_a_restore_is_sent_to_where_the_leader_redirects_if_that_leads_too(
    bao: OpenBaoCluster, cluster: StartCluster
) -> None:
    with LyingProxy(bao.leader().address) as node, LyingProxy(bao.leader().address) as other:
        node.behave(SNAPSHOT_PATH, redirect(other.address))
        asking = cluster(bao.root_token, node.address, other.address)
        with pytest.raises(ServerError, match=f"^{other.address} answers .* with 500.*gzip"):
            asking.send_snapshot(
                leading(asking, node.address), io.BytesIO(b"no snapshot"), force=False
            )

        follower = {"ha_enabled": True, "is_self": False, "leader_address": node.address}
        other.override(WHO_LEADS, 200, follower)
        posts = len(other.requests)
        with pytest.raises(ServerError, match=f"not at {other.address} any more"):
            asking.send_snapshot(
                leading(asking, node.address), io.BytesIO(b"no snapshot"), force=False
            )
        assert [request.method for request in other.requests[posts:]] == ["GET"]


def test_the_token_ends_at_the_node_that_a_redirect_led_to(strict: OpenBaoCluster) -> None:
    approle = prepare_agent(strict)
    auth = {"method": "approle", "role_id": approle.role_id, "secret_id": approle.secret_id}
    given = {"address": standby(strict).address, "auth": auth}
    asking = Cluster(VaultSettings.model_validate(given), "anywhere")
    asking.open_snapshot(at(asking, standby(strict).address)).stop()
    token = asking.session.token(asking.node(strict.leader().address))
    asking.keep_token()
    assert strict.leader().request("GET", "auth/token/lookup-self", token=token).status == 200
    asking.revoke_token()
    assert strict.leader().request("GET", "auth/token/lookup-self", token=token).status == 403
    assert asking.session.logins == 1
    asking.close()


def test_nothing_is_ended_where_nothing_was_used(approle: AppRole) -> None:
    idle = Cluster(VaultSettings(address="http://203.0.113.7:8200"), "leader")
    idle.keep_token()
    idle.revoke_token()


def test_a_redirect_to_another_configured_node_is_followed(
    bao: OpenBaoCluster, cluster: StartCluster
) -> None:
    with LyingProxy(bao.leader().address) as node, LyingProxy(bao.leader().address) as other:
        node.snapshot = redirect(other.address)
        asking = cluster(bao.root_token, node.address, f"{other.address}/")
        assert taken(asking, at(asking, node.address)).size > 0
        assert other.snapshot_requests[0].headers["X-Vault-Token"] == bao.root_token


def test_a_redirect_without_a_host_stays_where_it_is(
    bao: OpenBaoCluster, cluster: StartCluster
) -> None:
    with LyingProxy(bao.leader().address) as node:
        headers = [("Location", SNAPSHOT_PATH), ("Content-Length", "0")]
        honest, turns = pass_through, iter([True])

        def once(exchange: Exchange) -> None:
            if next(turns, False):
                exchange.answer(307, headers, b"")
            else:
                honest(exchange)

        node.snapshot = once
        asking = cluster(bao.root_token, node.address)
        assert taken(asking, at(asking, node.address)).size > 0


@pytest.mark.parametrize(
    "target",
    [
        "{recorder}",
        "http://127.0.0.1.nip.example:{port}",
        "http://{node}@127.0.0.1:{port}",
        "//127.0.0.1:{port}",
        "http://127.0.0.1:port",
        "http://[::1",
        "ftp://127.0.0.1:{port}",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_redirect_out_of_the_cluster_is_refused_and_the_token_kept(
    bao: OpenBaoCluster, cluster: StartCluster, recorder: HttpProxy, target: str
) -> None:
    with LyingProxy(bao.leader().address) as node:
        host = node.address.removeprefix("http://")
        port = recorder.server_address[1]
        location = target.format(recorder=recorder.address, node=host, port=port)
        headers = [("Location", location), ("Content-Length", "0")]
        node.snapshot = lambda exchange: exchange.answer(307, headers, b"")
        asking = cluster(bao.root_token, node.address)
        with pytest.raises(Redirected) as raised:
            asking.open_snapshot(at(asking, node.address))
        assert bao.root_token not in str(raised.value)
        assert "the agent follows redirects inside the cluster only" in str(raised.value)
        node.behave(SNAPSHOT_PATH, node.snapshot)
        with pytest.raises(Redirected):
            asking.send_snapshot(leading(asking, node.address), io.BytesIO(b"x"), force=False)
    assert recorder.requests == []


def test_a_loop_of_redirects_ends(bao: OpenBaoCluster, cluster: StartCluster) -> None:
    with LyingProxy(bao.leader().address) as one, LyingProxy(bao.leader().address) as other:
        one.snapshot, other.snapshot = redirect(other.address), redirect(one.address)
        asking = cluster(bao.root_token, one.address, other.address)
        with pytest.raises(Redirected):
            asking.open_snapshot(at(asking, one.address))
        assert len(one.snapshot_requests) + len(other.snapshot_requests) == 4


def test_a_redirect_from_tls_to_none_is_refused_even_inside_the_cluster(
    bao: OpenBaoCluster, cluster: StartCluster, recorder: HttpProxy, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    said = {"ha_enabled": True, "is_self": False, "leader_address": recorder.address}

    def choose(request: Request) -> Behaviour:
        if request.path == WHO_LEADS:
            return status(200, said)
        return redirect(recorder.address)

    with TlsProxy(bao.leader().address, choose, authority) as node:
        trusted = {"ca_file": tmp_path / "ca.pem"}
        asking = cluster(bao.root_token, node.address, recorder.address, **trusted)
        with pytest.raises(Redirected, match="never from https to http"):
            asking.open_snapshot(at(asking, node.address))
        assert len(node.requests) == 2
    assert recorder.requests == []
