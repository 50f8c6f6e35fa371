"""A restore that is really done, into a throw-away server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import CancelScope

from raft_snapshot_agent.errors import VerificationError
from raft_snapshot_agent.restore.restore import restore
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.private import private_node
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings


@asynccontextmanager
async def restored(
    snapshot: Path, unseal_keys: Sequence[str], folder: Path, *, must_be_closed: bool = True
) -> AsyncIterator[OpenBaoNode]:
    """Restore a snapshot into a fresh server, which lives until the context ends.

    What it holds then are the real secrets, tokens and leases. It is spoken to through a socket
    that nobody else can reach, and from its first start on it can reach nobody: a lease that
    production has renewed must not be revoked by its copy.

    Arguments:
        snapshot: A verified snapshot.
        unseal_keys: Enough key shares of the cluster it was taken from.
        folder: Where the server keeps its data; an empty one in a folder of ours.
        must_be_closed: False for what is nobody's production, on hosts that cannot close it in.

    Raises:
        ConfigError: It cannot be closed in here.
        VerificationError: The server did not take the snapshot.
        ServerError: It did not start, or the keys do not unseal what was restored.
    """
    node = await in_thread(lambda: private_node("drill", folder, must_be_closed=must_be_closed))
    try:
        await in_thread(node.start)
        await _replace_state(node, snapshot)
        # The old shares stay in memory after a forced restore; only a restart forgets them.
        await in_thread(node.restart)
        await in_thread(lambda: node.unseal(unseal_keys))
        await in_thread(node.wait_active)
        yield node
    finally:
        with CancelScope(shield=True):
            await in_thread(node.discard)


async def _replace_state(node: OpenBaoNode, snapshot: Path) -> None:
    made = await in_thread(lambda: node.init(1, 1))
    await in_thread(lambda: node.unseal(made.unseal_keys))
    await in_thread(node.wait_active)
    auth = TokenAuth(method="token", token=Secret(made.root_token))
    cluster = Cluster(VaultSettings(address=node.address, auth=auth), "anywhere")
    leader = await in_thread(cluster.find_leader)
    if await restore(cluster, leader, snapshot, force=True) is not None:
        raise VerificationError("the drill server took the snapshot but did not seal itself")
