"""Put a snapshot back: choose, read, verify, send, and follow until the cluster is back."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from raft_snapshot_agent.core.snapshot import Manifest, Snapshot
from raft_snapshot_agent.destination.verification import Reading, SnapshotState, compare
from raft_snapshot_agent.errors import (
    AgentError,
    Denied,
    NotLeader,
    Sealed,
    ServerError,
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.restore.examine import examine, naming
from raft_snapshot_agent.restore.reader import SnapshotReader, pour
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.download import verify
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster, Leader

BY_FORCE = "with --force it replaces this cluster, which then needs that one's unseal keys"
_POLL = 0.5
_PATIENCE = 300.0
"""Seconds a cluster may take to come back; a large one reads its whole database anew."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A snapshot on the local disk, proved whole."""

    spool: Spool
    snapshot: Snapshot
    manifest: Manifest | None


@asynccontextmanager
async def fetch_copy(reader: SnapshotReader, folder: Path) -> AsyncIterator[Fetched]:
    """Copy a snapshot to the local disk and prove it whole.

    Arguments:
        reader: Where it comes from.
        folder: Where the copy lives until the context ends.

    Raises:
        VerificationError: It is not whole, or not the one its manifest describes.
        AgentError: It could not be read.
    """
    with ExitStack() as spools:
        yield await _fetch(reader, folder, spools)


async def _fetch(reader: SnapshotReader, folder: Path, spools: ExitStack) -> Fetched:
    """Copy it; what does not look whole is judged before that is said, and copied if it is."""
    with naming(reader):
        try:
            return await _copy_and_verify(reader, spools.enter_context(_create_spool(folder)))
        except (VerificationError, StorageError):
            spools.close()
            if (again := reader.again()) is None:
                raise
        await examine(reader)
        return await _copy_and_verify(again, spools.enter_context(_create_spool(folder)))


def _create_spool(folder: Path) -> Spool:
    return Spool.create(folder, secrets.token_hex(8))


async def _copy_and_verify(reader: SnapshotReader, spool: Spool) -> Fetched:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pour, reader, spool)
        tasks.start_soon(verify, spool)
    snapshot = spool.verdict()
    expected = await reader.expected()
    compare(snapshot, expected)
    reader.confirm(snapshot)
    with suppress(StorageError):  # it may be readable only
        await reader.remember(Reading(SnapshotState.WHOLE, snapshot))
    return Fetched(spool, snapshot, expected.manifest)


async def restore(cluster: Cluster, leader: Leader, path: Path, *, force: bool) -> Leader | None:
    """Send a verified snapshot to the leader and follow until the cluster is back.

    The server answers before it has applied anything, and a standby would seal itself; so the
    leader is what the snapshot goes to, and its word is not taken for the deed.

    Arguments:
        cluster: What it is restored into.
        leader: Found and confirmed just before.
        path: The verified snapshot.
        force: Accept a snapshot of another cluster, which then has that cluster's keys.

    Returns:
        The leader after the restore; nothing where it is sealed now, as it is after a forced
        restore, and waits for the snapshot's unseal keys.

    Raises:
        ServerError: The snapshot was refused, or the cluster did not come back in time, or
            under another leader, which may know nothing of the snapshot.
    """
    await in_thread(lambda: _send(cluster, leader, path, force=force), abandon=True)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        await anyio.sleep(_POLL)
        if await in_thread(lambda: _is_sealed(leader.node), abandon=True):
            if force:
                return None
            raise _describe_seal(leader)
        try:
            back = await in_thread(cluster.find_leader, abandon=True)
        except (ServerError, NotLeader):
            continue
        if back.active_since != leader.active_since:
            return _require_same_node(leader, back)
    raise ServerError(
        f"the cluster is not back {_PATIENCE:g} s after {leader.node.address} took the snapshot",
        hint="look at the servers' logs; the snapshot itself is whole",
    )


def _is_sealed(node: Node) -> bool:
    try:
        node.leader_status()
    except Sealed:
        return True
    except ServerError:
        return False
    return False


def _describe_seal(leader: Leader) -> Sealed:
    return Sealed(
        f"{leader.node.address} took the snapshot but sealed itself and restored nothing, as a"
        " server does that no longer leads",
        hint="unseal it, then restore again",
    )


def _require_same_node(leader: Leader, back: Leader) -> Leader:
    if back.node.address == leader.node.address:
        return back
    raise ServerError(
        f"{leader.node.address} was given the snapshot, but {back.node.address} leads now: whether"
        " the cluster was restored is unknown",
        hint="look at what it holds, and restore again if that is not the snapshot's",
    )


def _send(cluster: Cluster, leader: Leader, path: Path, *, force: bool) -> None:
    try:
        with path.open("rb") as file:
            cluster.send_snapshot(leader, file, force=force)
    except OSError as error:
        raise AgentError(f"cannot read {path}: {error.strerror}") from error
    except ServerError as error:
        if "snapshot-force" not in error.message:
            raise
        raise Denied(
            f"{leader.node.address} refuses the snapshot: it was made with other unseal keys",
            hint=BY_FORCE,
        ) from error
