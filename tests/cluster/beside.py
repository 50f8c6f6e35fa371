"""Agents beside the nodes of a cluster: one for each, which asks that node only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.faults.site import Running, Site

from raft_snapshot_agent.servers.openbao import OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS


@contextmanager
def site_of_each_node(
    cluster: OpenBaoCluster, root: Path, seaweed: SeaweedFS, bucket: str
) -> Iterator[list[Site]]:
    """What each node's agent is told: a folder of its own, and the bucket they share."""
    approle = prepare_agent(cluster)
    with ExitStack() as opened:
        sites = []
        for node in cluster.nodes:
            folder = root / f"beside-{node.name}"
            folder.mkdir()
            site = opened.enter_context(Site(folder, seaweed, bucket, approle))
            site.vault |= {"address": node.address, "timeout": "5s"}
            site.more["run_on"] = "leader"
            sites.append(site)
        yield sites


@contextmanager
def agents_of(sites: Sequence[Site]) -> Iterator[list[Running]]:
    """Run the daemon of each site."""
    with ExitStack() as started:
        yield [started.enter_context(site.command("run")) for site in sites]
