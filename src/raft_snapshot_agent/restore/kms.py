"""Unseal a restored copy with the KMS that unseals the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raft_snapshot_agent.errors import DrillFailed, ServerError, Unreachable
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.process import until

_PATIENCE = 60.0
"""Maximum seconds for a KMS to unseal a server."""
_NOT_OPENED = (
    "cannot seal migrate",
    "failed to decrypt keys",
    "failed to decrypt encrypted stored keys",
    "message authentication failed",
    "does not match loaded type",
)
"""Errors of servers whose data was sealed with another KMS or another KMS key, or with none."""


@contextmanager
def blaming_kms(node: OpenBaoNode) -> Iterator[None]:
    """Tell that the KMS does not open the data of a server, if that is why it fails.

    In recovery mode the server blames the recovery keys, which it cannot compare.

    Raises:
        DrillFailed: The KMS does not open it.
    """
    node.process.hopeless = _NOT_OPENED
    try:
        yield
    except (ServerError, DrillFailed) as error:
        if not node.process.is_hopeless():
            raise
        raise _not_opened(node.process.last_words()) from error


def _not_opened(why: str) -> DrillFailed:
    return DrillFailed(
        f"the KMS does not open it: {why}",
        hint="is drill.unseal.seal that of the cluster that the snapshot was taken from?",
        noted="the KMS does not open it",
    )


def start_by_kms(node: OpenBaoNode) -> None:
    """Start a server, and wait until its KMS has unsealed it.

    Raises:
        DrillFailed: It does not become active, or its data is of a cluster with another seal.
        ServerError: It ended.
    """
    node.launch()
    try:
        until(lambda: _is_unsealed(node), f"{node.name} is unsealed", within=_PATIENCE)
    except ServerError as error:
        if not node.process.alive or node.process.is_hopeless():
            raise
        raise DrillFailed(
            f"it does not become active: {node.process.last_words()}",
            hint="where it has audit devices, give the recovery keys as drill.unseal.keys",
            noted="it does not become active",
        ) from error


def _is_unsealed(node: OpenBaoNode) -> bool:
    """Return whether it is active.

    Raises:
        DrillFailed: It waits for a migration to the seal, which it tells only who asks.
    """
    if node.is_active():
        return True
    with suppress(Unreachable):
        told = node.request("GET", "sys/seal-status", timeout=2.0).document or {}
        if told.get("migration"):
            raise _not_opened("its data has another seal")
    return False
