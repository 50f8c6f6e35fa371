"""Send a verified snapshot, and follow the cluster until it is back."""

from __future__ import annotations

import time
from pathlib import Path

import anyio

from raft_snapshot_agent.errors import (
    NotLeader,
    NotListening,
    Sealed,
    ServerError,
)
from raft_snapshot_agent.restore.sending import Upload, send
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster, Leader

PATIENCE = 300.0
"""Maximum seconds for a cluster to come back; a large one reloads its whole database."""
_POLL = 0.2
"""Seconds between looks; a server that restarts does not listen for about as long."""


async def send_and_follow(
    cluster: Cluster, leader: Leader, path: Path, *, force: bool
) -> Leader | None:
    """Send a verified snapshot to the leader, and wait until the cluster is back.

    The server answers before it has applied anything, and a standby would seal itself. So the
    snapshot goes to the leader, and its answer is not taken as success.

    Arguments:
        cluster: The cluster to restore.
        leader: The leader, confirmed just before.
        path: The verified snapshot.
        force: Accept a snapshot of another cluster, which then has that cluster's keys.

    Returns:
        The leader after the restore; `None` if it is sealed, as after a forced restore, and waits
        for the snapshot's unseal keys.

    Raises:
        ServerError: The snapshot was refused, or the cluster did not come back in time, or
            under another leader, which may know nothing of the snapshot.
    """
    with Upload.open(path) as upload:
        taken = await send(cluster, leader, upload, force=force)
    return await follow_leader(cluster, leader, force=force, taken=taken)


async def follow_leader(
    cluster: Cluster, leader: Leader, *, force: bool, taken: bool, patience: float = PATIENCE
) -> Leader | None:
    """Wait until the leader that received the snapshot leads again, or is sealed.

    A server that ended meanwhile shows neither: it becomes the leader or is sealed after any
    start, and has restored the snapshot only if it had stored it before.

    Arguments:
        cluster: The cluster to restore.
        leader: The leader before the restore.
        force: Whether it may be sealed afterwards.
        taken: Whether it confirmed the snapshot.
        patience: Maximum seconds.

    Raises:
        ServerError: Neither happened in time, another node leads, which may not have it, or it is
            unknown whether the server restored it.
    """
    deadline = time.monotonic() + patience
    ended = False
    while time.monotonic() < deadline:
        await anyio.sleep(_POLL)
        trouble = await in_thread(lambda: _find_trouble(leader.node), abandon=True)
        ended = ended or isinstance(trouble, NotListening)
        if isinstance(trouble, Sealed):
            if force and not ended:
                return None
            raise _describe_seal(leader, force=force, ended=ended)
        try:
            back = await in_thread(cluster.find_leader, abandon=True)
        except (ServerError, NotLeader):
            continue
        if back.active_since != leader.active_since:
            return _require_restored(leader, back, ended=ended)
    raise _not_back(leader, taken=taken, patience=patience)


_LOOK = "check whether the cluster has the data of the snapshot; if not, restore again"
_TRY_KEYS = (
    "unseal it with the keys of the snapshot's cluster: if they open it, it was restored; if not,"
    " use the keys it had before, and restore again"
)


def _not_back(leader: Leader, *, taken: bool, patience: float) -> ServerError:
    address = leader.node.address
    if taken:
        return ServerError(
            f"the cluster is not back {patience:g} s after {address} took the snapshot",
            hint="check the servers' logs; the snapshot itself is whole",
        )
    return ServerError(
        f"the connection to {address} was lost after the whole snapshot was sent; after"
        f" {patience:g} s it is still unknown whether the server restored it",
        hint=_LOOK,
    )


def _find_trouble(node: Node) -> ServerError | None:
    try:
        node.leader_status()
    except ServerError as error:
        return error
    return None


def _describe_seal(leader: Leader, *, force: bool, ended: bool) -> Sealed:
    cause = "restarted meanwhile" if ended else "no longer the leader, or restarted meanwhile"
    return Sealed(
        f"{leader.node.address} received the snapshot and is sealed now, likely because it was"
        f" {cause}: it is unknown whether the cluster was restored",
        hint=_TRY_KEYS if force else f"unseal it, then {_LOOK}",
    )


def _require_restored(leader: Leader, back: Leader, *, ended: bool) -> Leader:
    received = f"{leader.node.address} received the snapshot, but"
    unknown = "it is unknown whether the cluster was restored"
    if back.node.address != leader.node.address:
        raise ServerError(
            f"{received} {back.node.address} is the leader now: {unknown}", hint=_LOOK
        )
    if ended:
        raise ServerError(f"{received} was restarted meanwhile: {unknown}", hint=_LOOK)
    return back
