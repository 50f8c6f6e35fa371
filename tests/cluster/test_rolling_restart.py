"""Agents beside each node, with a folder and a bucket: a node that restarts alarms nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.beside import agents_of, site_of_each_node
from tests.cluster.command import call
from tests.cluster.recording import settled
from tests.conftest import StartBao
from tests.faults.site import Running, Site

from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

OVER = "Resolved: Snapshot failed"


@pytest.fixture
def cluster(bao3: StartBao) -> OpenBaoCluster:
    return bao3()


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """What anybody was notified of."""
    return tmp_path / "pages"


@pytest.fixture
def sites(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, cluster: OpenBaoCluster, pages: Path
) -> Iterator[list[Site]]:
    page = {"type": "exec", "command": ["sh", "-c", f"cat >> {pages}"]}
    with site_of_each_node(cluster, tmp_path, seaweed, bucket) as sites:
        for site in sites:
            site.more |= {"schedule": {"every": "10s"}, "notify": [page]}
        yield sites


@pytest.fixture
def agents(sites: list[Site], cluster: OpenBaoCluster) -> Iterator[list[Running]]:
    settled(cluster.nodes)
    with agents_of(sites) as running:
        yield running


def ask(site: Site) -> tuple[int, dict[str, Any]]:
    done = call("status", "--format", "json", "-c", str(site.root / "agent.yaml"))
    return done.code, json.loads(done.text)


def is_well(site: Site) -> bool:
    return ask(site)[0] == 0


def settle(sites: list[Site], cluster: OpenBaoCluster) -> int:
    """Wait until all is well everywhere; return the number of the agent that works."""
    settled(cluster.nodes)
    until(lambda: all(map(is_well, sites)), "all is well", within=90)
    leader = cluster.nodes.index(cluster.leader())
    until(lambda: role(sites[leader]) == "works", "the leader's agent works", within=90)
    return leader


def role(site: Site) -> str:
    return str(ask(site)[1]["clusters"][0]["role"])


@pytest.mark.soak
@pytest.mark.parametrize("which", ["a standby", "the leader"])
def test_a_node_that_is_down_fails_nobody_while_another_agent_stores(
    which: str, sites: list[Site], agents: list[Running], cluster: OpenBaoCluster, pages: Path
) -> None:
    leader = settle(sites, cluster)
    down = leader if which == "the leader" else (leader + 1) % 3
    cluster.nodes[down].kill()
    agents[down].says("Snapshot failed: cannot reach")
    agents[down].says(OVER)
    assert role(sites[down]) == "stands by"
    cluster.restart(cluster.nodes[down])
    settle(sites, cluster)
    assert not pages.exists(), pages.read_text()
