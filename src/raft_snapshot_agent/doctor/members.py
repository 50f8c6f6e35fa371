"""Detect a cluster whose members each store to their own local folder only."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.state.holding import Holding
from raft_snapshot_agent.core.state.storage_kinds import OF_THIS_HOST
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.doctor.results import CheckContext, CheckResult, warning
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.threads import in_thread

_ENOUGH = 1 << 20
"""Bytes of a snapshot within which the names of the members are expected."""


async def members(context: CheckContext) -> list[CheckResult]:
    """Warn if no storage has the snapshots of all members."""
    config = context.config
    alone = config.storages and all(one.type in OF_THIS_HOST for one in config.storages)
    if not alone or config.run_on != "leader" or config.lease is not None:
        return []
    if not await _several(context):
        return []
    message = "each member's folder holds only what was taken while it led"
    advice = "add a storage that all members share, such as s3"
    return [warning("members", message, advice)]


async def _several(context: CheckContext) -> bool:
    """Return whether the cluster is known to have several members."""
    if len(context.config.vault.addresses) > 1 or context.leaders:
        return True
    if await in_thread(partial(_count_server_nodes, context)) > 1:
        return True
    return any([await _count_named_members(*pair) > 1 for pair in _pairs(context)])


def _pairs(context: CheckContext) -> list[tuple[Destination, Holding]]:
    return list(zip(context.destinations, context.holdings, strict=False))


def _count_server_nodes(context: CheckContext) -> int:
    """Count the nodes that the server reports; few tokens have this permission."""
    node, token = context.node, context.token
    if node is None or token is None or context.cluster.session.uses is not None:
        return 0
    with suppress(AgentError):
        return len(node.list_members(token))
    return 0


async def _count_named_members(destination: Destination, holding: Holding) -> int:
    """Count the members named near the beginning of the newest snapshot."""
    if holding.newest is None:
        return 0
    archive, fed = ArchiveVerifier(digest=False), 0
    with suppress(AgentError):
        async for piece in destination.storage.read(holding.newest.name):
            archive.feed(piece)
            fed += len(piece)
            if archive.meta is not None or fed > _ENOUGH:
                break
    return 0 if archive.meta is None else len(archive.meta.servers)
