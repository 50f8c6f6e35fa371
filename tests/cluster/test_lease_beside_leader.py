"""Agents beside each node, which share a lease: it goes where the leader is, and slots go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from tests.cluster.beside import site_of_each_node
from tests.cluster.recording import settled
from tests.conftest import StartBao
from tests.elections import step_down
from tests.faults.site import Running, Site

from raft_snapshot_agent.core.snapshots.naming import manifest_name, parse
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

EVERY = timedelta(seconds=4)
DURATION = timedelta(seconds=3)
MOVES = 2
SKIPS = "Not running on leader node, skipping."
ACQUIRES = "Acquired the lease in s3://"
GIVES = "Released the lease in s3://"


@pytest.fixture
def cluster(bao3: StartBao) -> OpenBaoCluster:
    return bao3()


@pytest.fixture
def sites(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, cluster: OpenBaoCluster
) -> Iterator[list[Site]]:
    """What each node's agent is told: the bucket they share, and the lease in it."""
    lease = {"type": "storage", "storage": "s3", "duration": f"{DURATION.seconds}s"}
    schedule = {"every": f"{EVERY.seconds}s"}
    with site_of_each_node(cluster, tmp_path, seaweed, bucket) as sites:
        for site in sites:
            site.more |= {"schedule": schedule, "lease": lease, "storages": [site.s3]}
        yield sites


@pytest.fixture
def agents(sites: list[Site], cluster: OpenBaoCluster) -> Iterator[list[Running]]:
    settled(cluster.nodes)
    with ExitStack() as started:
        # Beside the standbys first: they must not take it.
        order = sorted(range(3), key=lambda number: cluster.nodes[number].is_leader())
        running = {}
        for number in order:
            running[number] = started.enter_context(sites[number].command("run"))
            if not cluster.nodes[number].is_leader():
                running[number].says(SKIPS)
        yield [running[number] for number in range(3)]


def complete(site: Site) -> list[datetime]:
    keys = {key.rpartition("/")[2] for key in sorted(site.keys())}
    found = [one for name in keys if (one := parse(name)) and manifest_name(name) in keys]
    return sorted(one.taken_at for one in found)


@pytest.mark.soak
def test_the_lease_follows_the_leader_and_slots_go_on(
    sites: list[Site], agents: list[Running], cluster: OpenBaoCluster
) -> None:
    site = sites[0]
    until(lambda: len(complete(site)) >= 1, "the first snapshot is stored", within=60)
    for _ in range(MOVES):
        before, old = len(complete(site)), cluster.nodes.index(cluster.leader())
        gave = agents[old].said.count(GIVES)
        step_down(cluster)
        settled(cluster.nodes)
        new = cluster.nodes.index(cluster.leader())
        until(lambda: len(complete(site)) >= before + 2, "slots go on", within=60)  # noqa: B023
        if new != old:
            assert agents[old].said.count(GIVES) > gave, agents[old].said
        assert ACQUIRES in agents[new].said
    for agent in agents:
        agent.process.terminate()
    endings = [agent.ended() for agent in agents]
    assert [ending.code for ending in endings] == [0, 0, 0], endings
    taken = complete(site)
    assert min(c - a for a, c in zip(taken, taken[2:], strict=False)) >= EVERY, taken
    assert [b - a for a, b in pairwise(taken) if b - a < timedelta(seconds=1)] == []
    assert [one for one in sites if one.leftovers()] == []
    assert [key for key in sorted(site.keys()) if "probe" in key] == []


@pytest.mark.soak
def test_an_agent_whose_node_is_gone_gives_the_lease_to_the_new_leaders(
    sites: list[Site], agents: list[Running], cluster: OpenBaoCluster
) -> None:
    site = sites[0]
    until(lambda: len(complete(site)) >= 1, "the first snapshot is stored", within=60)
    old = cluster.leader()
    number = cluster.nodes.index(old)
    old.kill()
    agents[number].says(GIVES, within=60)
    before = len(complete(site))
    until(lambda: len(complete(site)) > before, "another agent goes on", within=60)
    cluster.restart(old)
    time.sleep(2 * DURATION.total_seconds())
    assert [agent.process.poll() for agent in agents] == [None] * 3
