"""Acquires the lease for one command; does not wait for a holder that renews it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:  # of which there is none unless one is configured
    from raft_snapshot_agent.core.lease import Record
    from raft_snapshot_agent.lease.holder import Lease

_PATIENCE = 1.5
"""In durations since it was first seen: long enough to outlast a holder that is gone."""


async def take(lease: Lease) -> None:
    """Acquire the lease, or observe that its holder goes on renewing it.

    Arguments:
        lease: To be taken; nobody else keeps it meanwhile.

    Raises:
        LeaseHeld: It is not to be had.
        StorageUnavailable: Nobody knows.
    """
    patience = lease.seconds * _PATIENCE
    give_up_at = time.monotonic() + patience
    first: Record | None = None
    while True:
        pause = await lease.look()
        if lease.held_lease is not None:
            return
        if first is None and lease.record is not None:
            # To prove the store came before that, and took what time it took.
            first, give_up_at = lease.record, time.monotonic() + patience
        if lease.record != first or time.monotonic() > give_up_at:
            raise lease.not_held()
        await anyio.sleep(pause)
