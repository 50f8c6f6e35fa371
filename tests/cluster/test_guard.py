"""The guard beside real clusters: silent in ordinary trouble, loud when history is lost."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.beside import agents_of, site_of_each_node
from tests.cluster.command import Ending, Terminal, call
from tests.cluster.recording import settled
from tests.conftest import StartBao
from tests.elections import step_down
from tests.faults.site import Site

from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, RESTORED_NAME
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster, fill, prepare_agent
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS


@pytest.fixture
def one(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, start_bao: StartBao
) -> Iterator[tuple[Site, OpenBaoCluster]]:
    """A single node, with a folder that keeps one snapshot."""
    cluster = start_bao()
    root = tmp_path / "site"
    root.mkdir()
    with Site(root, seaweed, bucket, prepare_agent(cluster)) as site:
        site.vault["address"] = cluster.leader().address
        site.more |= {"storages": [site.local], "retention": {"last": 1}}
        yield site, cluster


def write(cluster: OpenBaoCluster, count: int) -> None:
    for number in range(count):
        cluster.write_secret(f"many/{number}", {"value": number})


def by_operator(site: Site, cluster: OpenBaoCluster, *arguments: str | Path) -> Ending:
    env = {"VAULT_TOKEN": cluster.root_token}
    return call(*arguments, "-c", site.configuration(), env=env, cwd=site.root)


def decline_restore(site: Site, cluster: OpenBaoCluster, snapshot: str) -> None:
    env = {"VAULT_TOKEN": cluster.root_token}
    with Terminal("restore", snapshot, "-c", site.configuration(), env=env) as terminal:
        terminal.shows("to replace all it holds: ")
        terminal.type("no\n")
        assert terminal.ended() == 1, terminal.shown


class RolledBack:
    """A node whose disk can be put back to an earlier moment, as a machine's snapshot does."""

    def __init__(self, cluster: OpenBaoCluster, node: OpenBaoNode, aside: Path) -> None:
        self._cluster, self._node, self._aside = cluster, node, aside
        node.stop()
        shutil.copytree(node.folder, aside)
        cluster.restart(node)

    def put_back(self) -> None:
        self._node.stop()
        shutil.rmtree(self._node.folder)
        shutil.copytree(self._aside, self._node.folder)
        self._cluster.restart(self._node)


@pytest.mark.parametrize("restarts", [0, pytest.param(2, marks=pytest.mark.soak)])
def test_a_node_whose_disk_was_rolled_back(
    one: tuple[Site, OpenBaoCluster], tmp_path: Path, restarts: int
) -> None:
    site, cluster = one
    disk = RolledBack(cluster, cluster.leader(), tmp_path / "aside")
    for _ in range(restarts):  # each is an election: the terms go up, and then back
        cluster.restart(cluster.leader())
    write(cluster, 60)
    assert site.run_once().code == 0
    (good,) = site.names()[0]
    disk.put_back()

    codes = [site.run_once().code for _ in range(3)]

    assert codes == [6, 6, 6]
    assert good in site.names()[0]
    assert "the Raft index went back" in (site.folder / GUARD_NAME).read_text()
    assert by_operator(site, cluster, "prune", "--acknowledge").code == 0
    assert site.run_once().code == 0
    assert len(site.names()[0]) == 1


def test_a_restore_through_us_raises_no_alarm(one: tuple[Site, OpenBaoCluster]) -> None:
    """It shrinks to a hundredth, and goes on."""
    site, cluster = one
    site.more["retention"] = {"last": 9}
    assert site.run_once().code == 0
    ((small),) = site.names()[0]
    fill(cluster, 2 << 20)
    assert site.run_once().code == 0

    restored = by_operator(site, cluster, "restore", small, "--yes")

    assert restored.code == 0, restored.talk
    assert (site.folder / RESTORED_NAME).exists()
    decline_restore(site, cluster, small)
    for _ in range(2):
        ended = site.run_once()
        assert ended.code == 0, ended.said
        assert ended.of_level("warning", "error") == []
    assert not (site.folder / RESTORED_NAME).exists()
    assert not (site.folder / GUARD_NAME).exists()


def test_a_restore_that_was_declined_hides_no_loss(one: tuple[Site, OpenBaoCluster]) -> None:
    site, cluster = one
    cluster.api("POST", "sys/mounts/many", {"type": "kv"})
    for number in range(30):
        cluster.api("POST", f"many/{number}", {"value": number})
    assert site.run_once().code == 0
    ((good,)) = site.names()[0]
    cluster.api("DELETE", "sys/mounts/many")

    decline_restore(site, cluster, good)

    assert not (site.folder / GUARD_NAME).exists()
    ended = site.run_once()
    assert ended.code == 6, ended.said
    assert good in site.names()[0]
    assert "has vanished with its 30 keys" in (site.folder / GUARD_NAME).read_text()


def test_a_forced_restore_into_a_fresh_cluster_raises_no_alarm(
    one: tuple[Site, OpenBaoCluster], start_bao: StartBao
) -> None:
    """Its terms begin anew, and its index is lower than that of the newest snapshot."""
    site, lost = one
    site.more["retention"] = {"last": 9}
    lost.restart(lost.leader())
    lost.leader()  # a node that serves may not lead yet
    assert site.run_once().code == 0
    (older,) = site.names()[0]
    write(lost, 80)
    assert site.run_once().code == 0
    fresh = start_bao()
    site.vault["address"] = fresh.leader().address

    restored = by_operator(site, fresh, "restore", older, "--force", "--yes")

    assert restored.code == 0, restored.talk
    (node,) = fresh.nodes
    node.restart()
    node.unseal(lost.unseal_keys)
    node.wait_active()
    for _ in range(2):
        ended = site.run_once()
        assert ended.code == 0, ended.said
        assert ended.of_level("warning", "error") == []


# Three members, an agent beside each.


@pytest.fixture
def three(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, bao3: StartBao
) -> Iterator[tuple[list[Site], OpenBaoCluster]]:
    cluster = bao3()
    fill(cluster, 1 << 20)
    with site_of_each_node(cluster, tmp_path, seaweed, bucket) as sites:
        for site in sites:
            site.vault["stall_timeout"] = "30s"
            site.more |= {
                "storages": [site.s3],
                "retention": {"last": 100},
                "schedule": {"every": "1s"},
            }
        settled(cluster.nodes)
        yield sites, cluster


def trouble(cluster: OpenBaoCluster, moments: random.Random, rounds: int) -> None:
    """Elections, and leaders that are frozen in the middle of whatever they do."""
    for number in range(rounds):
        time.sleep(moments.uniform(0.5, 2.5))
        write(cluster, moments.randrange(1, 9))
        old = cluster.leader()
        if number % 3 == 2:
            step_down(cluster)
        else:
            old.suspend()
            others = [node for node in cluster.nodes if node is not old]
            until(lambda: any(one.is_leader() for one in others), "another leads", within=60)  # noqa: B023
            time.sleep(moments.uniform(0.5, 4))
            old.resume()
            old.wait_serving()
        settled(cluster.nodes)


def quiet(sites: list[Site], cluster: OpenBaoCluster, rounds: int, seed: int) -> None:
    with agents_of(sites) as agents:
        until(sites[0].keys, "the first snapshot is stored", within=60)
        trouble(cluster, random.Random(seed), rounds)
        until(lambda: len(sites[0].names()[1]) > rounds, "snapshots are stored", within=60)
        for agent in agents:
            agent.process.terminate()
        endings = [agent.ended(60) for agent in agents]
    for ending in endings:
        assert "Retention suspended" not in ending.said, ending.said
    assert GUARD_NAME not in sites[0].objects()


@pytest.mark.soak
def test_elections_and_frozen_leaders_raise_no_alarm(
    three: tuple[list[Site], OpenBaoCluster],
) -> None:
    sites, cluster = three
    quiet(sites, cluster, 3, 1)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_many_elections_raise_no_alarm_and_a_rollback_does(
    three: tuple[list[Site], OpenBaoCluster], tmp_path: Path
) -> None:
    sites, cluster = three
    asides = {}
    for node in cluster.nodes:
        node.stop()
    for node in cluster.nodes:
        asides[node.name] = shutil.copytree(node.folder, tmp_path / f"aside-{node.name}")
    for node in cluster.nodes:
        node.restart()
        node.unseal(cluster.unseal_keys)
    settled(cluster.nodes)
    quiet(sites, cluster, 14, 20261126)
    newest = sites[0].names()[1][-1]

    for node in cluster.nodes:
        node.stop()
        shutil.rmtree(node.folder)
        shutil.copytree(asides[node.name], node.folder)
    for node in cluster.nodes:
        node.restart()
        node.unseal(cluster.unseal_keys)
    settled(cluster.nodes)
    site = sites[0]
    site.vault |= {"address": cluster.leader().address}
    site.more["retention"] = {"last": 1}
    codes = [site.run_once().code for _ in range(3)]

    assert codes == [6, 6, 6]
    assert newest in site.names()[1]
