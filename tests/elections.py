"""Who leads a cluster on loopback, and how that changes."""

from __future__ import annotations

from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import until


def standbys(cluster: OpenBaoCluster) -> list[OpenBaoNode]:
    """The nodes that do not lead, stopped and suspended ones included."""
    leader = cluster.leader()
    return [node for node in cluster.nodes if node is not leader]


def step_down(cluster: OpenBaoCluster) -> OpenBaoNode:
    """Make the leader step down and return the new leader; needs three nodes."""
    old, others = cluster.leader(), standbys(cluster)
    old.api("PUT", "sys/step-down", token=cluster.root_token)
    until(lambda: any(node.is_leader() for node in others), "another leads", within=60.0)
    return cluster.leader()
