"""Ends the use of a cluster: revokes the token of the login, within a short time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import anyio

from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings

LEAVE_WITHIN = 3.0
"""Seconds to wait for the server to revoke a token."""


@asynccontextmanager
async def visit_cluster(
    settings: VaultSettings, run_on: Literal["leader", "anywhere"], tell: Callable[[str], None]
) -> AsyncIterator[Cluster]:
    """Lend a cluster, and revoke the token of its login in any case.

    Arguments:
        settings: How the cluster is reached.
        run_on: As configured.
        tell: Called with a warning if the token could not be revoked.
    """
    cluster = Cluster(settings, run_on)
    try:
        yield cluster
    finally:
        await leave_cluster(cluster)
        cluster.close()
        for why in cluster.session.left_behind:
            tell(why)


async def leave_cluster(cluster: Cluster, within: float = LEAVE_WITHIN) -> None:
    """Revoke the token if this agent created it. Raises nothing.

    Arguments:
        cluster: Its session ends.
        within: Seconds after which the token is left to expire by itself.
    """
    with anyio.move_on_after(within, shield=True), suppress(Exception):
        await in_thread(cluster.revoke_token, abandon=True)
