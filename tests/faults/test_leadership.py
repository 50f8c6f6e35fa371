"""Leadership moves during a snapshot: it is whole or dropped, and the cluster goes on."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest
from tests.faults.site import Site
from tests.faults.test_server import in_the_middle
from tests.lying import Behaviour, Exchange, LyingProxy

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, fill, prepare_agent
from raft_snapshot_agent.servers.process import until

pytestmark = pytest.mark.xdist_group("leadership")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoCluster]:
    """Three nodes that all tests here share: leave them running and with a leader."""
    with OpenBaoCluster.start(tmp_path_factory.mktemp("leadership"), nodes=3) as cluster:
        fill(cluster, 18_000_000)
        yield cluster


@pytest.fixture(scope="module")
def approle(cluster: OpenBaoCluster) -> AppRole:
    return prepare_agent(cluster)


def goes_on(cluster: OpenBaoCluster) -> None:
    """The cluster has a leader that takes writes."""
    cluster.leader(within=90)
    cluster.write_secret("after", {"it": "goes on"})
    assert cluster.read_secret("after") == {"it": "goes on"}


@pytest.mark.soak
def test_stepping_down_in_the_middle(site: Site, cluster: OpenBaoCluster) -> None:
    old = cluster.leader()
    stepping = threading.Thread(
        target=lambda: old.request("PUT", "sys/step-down", token=cluster.root_token)
    )
    with LyingProxy(old.address) as server:
        site.behind(server)
        server.snapshot = in_the_middle(stepping.start)
        ending = site.run_once()
        stepping.join(30)
        assert ending.code in (0, 2), ending.said
        assert {len(names) for names in site.names()} == {1 if ending.code == 0 else 0}
        assert site.leftovers() == []
        until(lambda: not old.is_leader(), "it stepped down", within=90)
        goes_on(cluster)
        assert "Not running on leader node, skipping." in site.run_once().said
    site.vault["address"] = cluster.leader().address
    site.succeeds()


def test_line_that_stalls_does_not_freeze_the_cluster(site: Site, cluster: OpenBaoCluster) -> None:
    """Until its stream is closed, a leader that is to step down serves nobody."""
    old = cluster.leader()
    stepping = threading.Thread(
        target=lambda: old.request("PUT", "sys/step-down", token=cluster.root_token, timeout=60)
    )
    with LyingProxy(old.address) as server:
        site.behind(server)
        server.snapshot = _stalling_after(200_000, stepping.start)
        with patch.dict(site.vault, stall_timeout="2s"):
            site.fails(2, "went silent for 2 s")
        stepping.join(60)
        until(lambda: not old.is_leader(), "it stepped down", within=90)
        goes_on(cluster)
    site.vault["address"] = cluster.leader().address
    site.succeeds()


def test_leader_killed_in_the_middle(site: Site, cluster: OpenBaoCluster) -> None:
    old = cluster.leader()
    with LyingProxy(old.address) as server:
        site.behind(server)
        server.snapshot = in_the_middle(old.kill)
        site.fails(2, "was cut off after")
    goes_on(cluster)
    site.vault["address"] = cluster.leader().address
    site.succeeds()
    cluster.restart(old)


def _stalling_after(size: int, event: Callable[[], object]) -> Behaviour:
    """Let something happen while the server is sending, and read no further until hung up."""

    def behave(exchange: Exchange) -> None:
        response = exchange.forward()
        exchange.begin(response.status, response.getheaders())
        exchange.send(response.read(size))
        event()
        client = exchange._handler.connection
        select.select([client], [], [], 60)  # readable: it hung up
        exchange.cut()

    return behave
