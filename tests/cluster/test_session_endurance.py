"""Tokens of five seconds on real servers that are disturbed: no snapshot is lost to a login."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.cluster.recording import settled
from tests.elections import step_down

from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.errors import Denied, Sealed, ServerError
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.openbao import OpenBaoCluster, fill, prepare_agent
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings
from raft_snapshot_agent.vault.stream import SnapshotStream

StartBao = Callable[..., OpenBaoCluster]


def agent(bao: OpenBaoCluster, **role: str) -> Cluster:
    """An agent that knows every node, with tokens of five seconds unless the role says else."""
    ids = prepare_agent(bao, **{"token_ttl": "5s", **role})
    auth = AppRoleAuth(
        method="approle", role_id=Secret(ids.role_id), secret_id=Secret(ids.secret_id)
    )
    addresses = tuple(node.address for node in bao.nodes)
    settings = VaultSettings(nodes=addresses, auth=auth, timeout=timedelta(seconds=5))
    return Cluster(settings, "anywhere")


def opened(cluster: Cluster) -> SnapshotStream:
    return cluster.open_snapshot(cluster.find_leader())


def whole(stream: SnapshotStream) -> bool:
    verifier = ArchiveVerifier()
    for chunk in stream.chunks():
        verifier.feed(chunk)
    return verifier.finish().size > 0


def snapshot(cluster: Cluster) -> bool:
    return whole(opened(cluster))


def eventually(cluster: Cluster) -> bool:
    """Take a snapshot as soon as the servers give one; a refused token is no excuse."""

    def works() -> bool:
        try:
            return snapshot(cluster)
        except Denied:
            raise
        except ServerError:
            return False

    return until(works, "a snapshot is taken", within=60)


def revoke(bao: OpenBaoCluster, cluster: Cluster) -> None:
    token = cluster.session.token(cluster.find_leader().node)
    bao.api("POST", "auth/token/revoke", {"token": token})


@pytest.fixture
def lonely(start_bao: StartBao) -> OpenBaoCluster:
    return start_bao()


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_minute_of_snapshots_each_second_fails_none(lonely: OpenBaoCluster) -> None:
    cluster = agent(lonely, token_max_ttl="15s")
    begun = time.monotonic()
    taken = 0
    while (now := time.monotonic()) < begun + 60:
        assert snapshot(cluster)
        taken += 1
        time.sleep(max(0.0, now + 1 - time.monotonic()))
    logins = cluster.session.logins
    print(f"{taken} snapshots in 60 s with tokens of 5 s, at most 15 s: {logins} logins")
    # One for each lifetime, less the part that is not worth a renewal.
    assert 4 <= logins <= 7
    cluster.revoke_token()
    cluster.close()


def test_a_revoked_token_costs_one_login_between_and_none_during_downloads(
    lonely: OpenBaoCluster,
) -> None:
    fill(lonely, 20_000_000)
    cluster = agent(lonely, token_ttl="10m")
    assert snapshot(cluster)
    revoke(lonely, cluster)
    assert snapshot(cluster)
    assert cluster.session.logins == 2

    verifier = ArchiveVerifier()
    chunks = opened(cluster).chunks()
    verifier.feed(next(chunks))
    revoke(lonely, cluster)
    for chunk in chunks:
        verifier.feed(chunk)
    assert verifier.finish().size > 0
    assert cluster.session.logins == 2
    assert snapshot(cluster)
    assert cluster.session.logins == 3


def test_a_restarted_server_takes_the_token_it_gave(lonely: OpenBaoCluster) -> None:
    cluster = agent(lonely, token_ttl="10m")
    assert snapshot(cluster)
    lonely.restart(lonely.nodes[0])
    assert eventually(cluster)
    assert cluster.session.logins == 1


def test_a_token_that_ended_while_the_server_was_down_is_replaced(lonely: OpenBaoCluster) -> None:
    cluster = agent(lonely)
    assert snapshot(cluster)
    ends = time.monotonic() + 5
    node = lonely.nodes[0]
    node.stop()
    with pytest.raises(ServerError):
        snapshot(cluster)
    until(lambda: time.monotonic() > ends, "the token ends", within=60)
    lonely.restart(node)
    assert eventually(cluster)
    assert cluster.session.logins == 2


def test_a_sealed_server_is_told_and_costs_no_login(lonely: OpenBaoCluster) -> None:
    cluster = agent(lonely, token_ttl="10m")
    assert snapshot(cluster)
    node = lonely.nodes[0]
    node.api("PUT", "sys/seal", token=lonely.root_token)
    until(lambda: node.seal_status()["sealed"], "it is sealed", within=60)
    for _ in range(3):
        with pytest.raises(Sealed):
            snapshot(cluster)
    node.unseal(lonely.unseal_keys)
    node.wait_active()
    assert eventually(cluster)
    assert cluster.session.logins == 1


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_ten_new_leaders_cost_no_snapshot_and_hardly_a_login(bao3: StartBao) -> None:
    bao = bao3()
    cluster = agent(bao, token_ttl="10m")
    for _ in range(10):
        step_down(bao)
        settled(bao.nodes)
        assert eventually(cluster)
    print(f"10 new leaders: {cluster.session.logins} logins")
    assert cluster.session.logins <= 2
    cluster.revoke_token()
    cluster.close()
