"""Sends a snapshot to restore to nobody but the leader.

A standby accepts a snapshot, then seals itself, and nothing is restored. Source: trials with
OpenBao.
"""

from __future__ import annotations

from typing import IO

from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.vault.client import Node

_LOOKS = 5
"""A load balancer that chooses a node for each request shows several nodes within so many."""


def send_to_leader(
    file: IO[bytes], active_since: str, node: Node, token: str, *, force: bool
) -> None:
    """Upload a snapshot to restore to a node that leads, right after it confirmed that.

    The upload uses the connection of that answer: a load balancer of connections leads it to the
    same node.

    Arguments:
        file: The snapshot.
        active_since: When the leader that all checks were made of became active.
        node: The node to send it to.
        token: A token that may restore.
        force: Accept a snapshot of another cluster.

    Raises:
        Redirected: Another node must be used.
        ServerError: It does not lead any more, or refused; nothing was changed.
    """
    for _ in range(_LOOKS):
        _require_leading(node, active_since)
    node.send_snapshot(token, file, force=force)


def _require_leading(node: Node, active_since: str) -> None:
    status = node.leader_status()
    leads = status.is_self or not status.ha_enabled
    if leads and status.active_since == active_since:
        return
    if leads and status.leader_address == node.address:
        raise ServerError(
            f"{node.address} lost the leadership since it was checked, and leads again, as after"
            " another restore; nothing was changed by this one",
            hint="find out whether somebody else has just restored, and what the cluster holds now,"
            " before you restore again",
        )
    raise ServerError(
        f"the leader that was checked is not at {node.address} any more (the leader now:"
        f" {status.leader_address or 'none'}); nothing was changed",
        hint="restore again; if a load balancer answers there, give the leader's own address in"
        " vault.address",
    )
