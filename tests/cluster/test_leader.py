"""Who leads, as real clusters tell it, and which agent is to work."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme
from tests.cluster.recording import settled
from tests.elections import standbys, step_down
from tests.http_proxy import status
from tests.lying import CuttingTcpProxy, LyingProxy
from tests.tls_proxy import TlsProxy

from raft_snapshot_agent.errors import (
    NoLeader,
    NotLeader,
    NotListening,
    Sealed,
    ServerError,
    Unreachable,
)
from raft_snapshot_agent.servers.node_options import NodeHost
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import free_ports, release_ports, until
from raft_snapshot_agent.vault import leader as rules
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.settings import VaultSettings

StartBao = Callable[..., OpenBaoCluster]
RunOn = Literal["leader", "anywhere"]
BOTH: tuple[RunOn, ...] = ("leader", "anywhere")
WHO_LEADS = "/v1/sys/leader"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoCluster]:
    """Three nodes; whoever stops one starts it again."""
    with OpenBaoCluster.start(tmp_path_factory.mktemp("three"), nodes=3) as cluster:
        settled(cluster.nodes)
        yield cluster


@pytest.fixture
def dead() -> Iterator[str]:
    """An address where nobody listens."""
    ports = free_ports(1)
    yield f"http://127.0.0.1:{ports[0]}"
    release_ports(ports)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every configured address one of another host, as a load balancer's is."""
    monkeypatch.setattr(rules, "is_local", lambda _: False)


@pytest.fixture
def own_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that /etc/hosts gives to this host."""
    look_up = socket.getaddrinfo

    def known(host: Any, *rest: Any, **more: Any) -> Any:
        return look_up("127.0.0.1" if host == "vault-0.internal" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", known)
    return "vault-0.internal"


def find(run_on: RunOn, *addresses: str, **tls: Any) -> Leader:
    """Look for the leader as a new agent would."""
    settings = VaultSettings.model_validate({"nodes": addresses, "tls": tls, "allow_http": True})
    cluster = Cluster(settings, run_on)
    try:
        return cluster.find_leader_for_this_agent()
    finally:
        cluster.close()


def refused(kind: type[ServerError | NotLeader], run_on: RunOn, *addresses: str) -> str:
    with pytest.raises(kind) as raised:
        find(run_on, *addresses)
    assert type(raised.value) is kind
    line = str(raised.value)
    assert line.isprintable()
    return line


@pytest.mark.parametrize("run_on", BOTH)
def test_a_single_node_leads(bao: OpenBaoCluster, run_on: RunOn) -> None:
    node = bao.leader()
    leader = find(run_on, node.address)
    assert leader.node.address == node.address
    assert leader.applied_index > 0
    assert leader.active_since
    assert leader.identity.product == "openbao"
    assert leader.identity.cluster_id == node.seal_status()["cluster_id"]


@pytest.mark.parametrize("run_on", BOTH)
def test_a_cluster_on_ipv6(start_bao: StartBao, run_on: RunOn) -> None:
    # Skipped only where the kernel has no IPv6 loopback: no server could listen there at all.
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    (node,) = start_bao(hosts=[NodeHost("[::1]")]).nodes
    assert node.address.startswith("http://[::1]:")
    assert find(run_on, node.address).node.address == node.address
    assert find("anywhere", node.address.replace("[::1]", "[0:0::1]")).identity.initialized


def test_a_performance_standby_is_told_as_such(three: OpenBaoCluster) -> None:
    leader = three.leader().address
    with LyingProxy(standbys(three)[0].address) as node:
        said = {**_leads(leader, is_self=False), "performance_standby": True}
        node.override(WHO_LEADS, 200, said)
        line = refused(NotLeader, "leader", node.address)
        assert line == f"{node.address}, a performance standby, says the leader is {leader}"
        assert find("anywhere", node.address).node.address == leader


def test_only_the_agent_beside_the_leader_works(three: OpenBaoCluster) -> None:
    leading = three.leader().address
    assert find("leader", leading).node.address == leading
    for standby in standbys(three):
        line = refused(NotLeader, "leader", standby.address)
        assert line == f"{standby.address} says the leader is {leading}"


def test_an_agent_anywhere_goes_to_the_leader_itself(three: OpenBaoCluster) -> None:
    leading = three.leader().address
    for node in three.nodes:
        assert find("anywhere", node.address).node.address == leading


def test_a_command_goes_to_the_leader_whatever_the_rule(three: OpenBaoCluster) -> None:
    cluster = Cluster(VaultSettings(address=standbys(three)[0].address), "leader")
    assert cluster.find_leader().node.address == three.leader().address
    cluster.close()


def test_the_work_moves_with_the_leadership(three: OpenBaoCluster) -> None:
    before = three.leader().address
    step_down(three)
    after = settled(three.nodes)
    assert after != before
    assert find("leader", after).node.address == after
    assert refused(NotLeader, "leader", before).endswith(f"the leader is {after}")
    assert find("anywhere", before).node.address == after


def test_the_work_moves_when_the_leader_dies_and_nobody_works_without_one(
    three: OpenBaoCluster,
) -> None:
    killed = three.leader()
    killed.kill()
    leading = three.leader()
    (standby,) = [node for node in three.nodes if node not in (killed, leading)]
    assert settled([leading, standby]) == leading.address
    assert find("leader", leading.address).node.address == leading.address
    assert "connection refused" in refused(NotListening, "leader", killed.address)
    for order in ([killed, leading], [killed, standby, leading], [standby, killed]):
        found = find("anywhere", *(node.address for node in order))
        assert found.node.address == leading.address

    standby.kill()
    until(lambda: not leading.is_leader(), "the last one gives way", within=60)
    for run_on in BOTH:
        line = refused(NoLeader, run_on, leading.address)
        assert line.startswith(f"the cluster has no leader, says {leading.address} (check that")
    for node in (killed, standby):
        three.restart(node)
    settled(three.nodes)


def test_a_sealed_node_is_told(start_bao: StartBao) -> None:
    node = start_bao().leader()
    node.restart()
    for run_on in BOTH:
        line = refused(Sealed, run_on, node.address)
        said = f"{node.address} is sealed (503: Vault is sealed)"
        assert line == f"{said} (unseal it, then the agent goes on)"


def test_the_first_reason_is_told_where_no_node_helps(dead: str, bao: OpenBaoCluster) -> None:
    with LyingProxy(bao.leader().address) as sealed:
        sealed.override(WHO_LEADS, 503, {"errors": ["Vault is sealed"]})
        for run_on in BOTH:
            assert "connection refused" in refused(NotListening, run_on, dead, sealed.address)
            assert "is sealed" in refused(Sealed, run_on, sealed.address, dead)


def test_beside_a_node_only_that_node_is_asked(bao: OpenBaoCluster, dead: str) -> None:
    own, other = bao.leader().address, "http://203.0.113.7:8200"
    assert find("leader", other, own).node.address == own
    assert "connection refused" in refused(NotListening, "leader", other, dead)


@pytest.mark.usefixtures("remote")
def test_behind_a_load_balancer_the_leader_must_be_on_this_host(
    three: OpenBaoCluster, own_name: str
) -> None:
    leading = three.leader()
    said = _leads(f"http://203.0.113.7:{leading.ports[0]}", is_self=True)
    with LyingProxy(leading.address) as balancer:
        balancer.override(WHO_LEADS, 200, said)
        line = refused(NotLeader, "leader", balancer.address)
        assert line.endswith(f"the leader is {said['leader_address']}")

        here = f"http://{own_name}:{leading.ports[0]}"
        balancer.override(WHO_LEADS, 200, _leads(here, is_self=False))
        assert find("leader", balancer.address).node.address == here

        # It has lost the leadership, but the node that answered has not heard of it.
        stale = f"http://{own_name}:{standbys(three)[0].ports[0]}"
        balancer.override(WHO_LEADS, 200, _leads(stale, is_self=True))
        line = refused(NoLeader, "leader", balancer.address)
        assert line.startswith(f"{stale} is announced as the leader, but denies it")

        balancer.override(WHO_LEADS, 200, _leads("", is_self=False))
        assert "has no leader" in refused(NoLeader, "leader", balancer.address)


@pytest.mark.usefixtures("remote")
def test_behind_a_round_robin_nobody_takes_the_answering_node_for_its_own(
    three: OpenBaoCluster,
) -> None:
    """Every third answer says `is_self`, to the agents of all hosts."""
    leading = three.leader().address
    with CuttingTcpProxy("127.0.0.1", three.nodes[0].ports[0]) as balancer:
        for node in three.nodes * 2:
            balancer._upstream = ("127.0.0.1", node.ports[0])
            line = refused(NotLeader, "leader", balancer.address)
            assert line == f"{balancer.address} says the leader is {leading}"
            assert find("anywhere", balancer.address).node.address == leading


@pytest.mark.usefixtures("remote")
def test_loopback_behind_a_load_balancer_is_some_other_hosts(bao: OpenBaoCluster) -> None:
    address = bao.leader().address
    assert address.startswith("http://127.0.0.1:")
    assert refused(NotLeader, "leader", address).endswith(f"the leader is {address}")


def test_a_leader_that_is_announced_at_a_dead_address_is_used_where_it_answered(
    bao: OpenBaoCluster, dead: str
) -> None:
    with LyingProxy(bao.leader().address) as balancer:
        balancer.override(WHO_LEADS, 200, _leads(dead, is_self=True))
        assert find("anywhere", balancer.address).node.address == balancer.address
        balancer.override(WHO_LEADS, 200, _leads(dead, is_self=False))
        line = refused(NotListening, "anywhere", balancer.address)
        assert line.startswith(f"cannot reach {dead}: connection refused")
        found = find("anywhere", balancer.address, bao.leader().address)
        assert found.node.address == bao.leader().address


HOSTS = ["[", "vault-0.example.org"]
"""No name at all, and one that over http:// is another host's."""


def test_a_leader_that_is_announced_where_it_is_not_is_found_as_its_nodes_know_it(
    three: OpenBaoCluster,
) -> None:
    leader, standby = three.leader(), standbys(three)[0]
    nowhere = leader.address.replace("127.0.0.1", "127.0.0.2")
    known = standby.api("GET", "sys/ha-status", token=three.root_token)
    for one in known["data"]["nodes"]:
        one["api_address"] = nowhere
    auth = {"method": "token", "token": three.root_token}
    with LyingProxy(standby.address) as node:
        node.override(WHO_LEADS, 200, _leads(nowhere, is_self=False))
        node.override("/v1/sys/ha-status", 200, known)
        settings = VaultSettings.model_validate({"address": node.address, "auth": auth})
        found = Cluster(settings, "anywhere").find_leader_for_this_agent()
        assert found.node.address == leader.address
        told = [{"data": {"nodes": [{"active_node": True, "hostname": host}]}} for host in HOSTS]
        for said in ({}, [1], *told):
            node.override("/v1/sys/ha-status", 200, said)
            with pytest.raises(Unreachable, match=f"cannot reach {nowhere}"):
                Cluster(settings, "anywhere").find_leader_for_this_agent()
        node.override("/v1/sys/ha-status", 403, {"errors": ["permission denied"]})
        with pytest.raises(Unreachable, match=f"cannot reach {nowhere}"):
            Cluster(settings, "anywhere").find_leader_for_this_agent()


def test_a_load_balancer_that_announces_itself_is_tried_on_a_new_connection(
    three: OpenBaoCluster,
) -> None:
    with LyingProxy(standbys(three)[0].address) as balancer:
        balancer.override(WHO_LEADS, 200, _leads(balancer.address, is_self=False))
        line = refused(NoLeader, "anywhere", balancer.address)
        assert "is a standby and does not announce the leader's address (list the nodes'" in line


@pytest.mark.parametrize("announced", ["https://[::1", "vault-0:8200", "http://h:port", "lb"])
def test_a_leader_announced_at_no_address_is_told(
    bao: OpenBaoCluster, announced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LyingProxy(bao.leader().address) as node:
        node.override(WHO_LEADS, 200, _leads(announced, is_self=False))
        line = refused(ServerError, "anywhere", node.address)
        assert (
            f"announces itself at {announced}, which is not a valid address (correct api_addr"
            in line
        )
        assert refused(NotLeader, "leader", node.address).endswith(announced)
        monkeypatch.setattr(rules, "is_local", lambda _: False)
        assert refused(NotLeader, "leader", node.address).endswith(announced)
        node.override(WHO_LEADS, 200, _leads(announced, is_self=True))
        assert find("anywhere", node.address).node.address == node.address


def test_from_tls_nobody_goes_to_a_leader_without_it(bao: OpenBaoCluster, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    said = status(200, _leads(bao.leader().address, is_self=False))
    with (
        TlsProxy(bao.leader().address, lambda _: said, authority) as node,
        pytest.raises(ServerError, match=r"announces the leader at http://.*, without TLS"),
    ):
        find("anywhere", node.address, ca_file=tmp_path / "ca.pem")


def _leads(address: str, *, is_self: bool) -> dict[str, Any]:
    said = {"ha_enabled": True, "is_self": is_self, "raft_applied_index": 1}
    return said | ({"leader_address": address} if address else {})
