"""Acquires the lease for one command; does not wait while another agent renews it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:  # of which there is none unless one is configured
    from raft_snapshot_agent.core.leases.lease_record import Record
    from raft_snapshot_agent.lease.holder import Lease

_PATIENCE = 1.5
"""Lease durations to wait, enough for the lease of a stopped holder to expire."""


async def take(lease: Lease) -> None:
    """Acquire the lease; give up once its holder has renewed it.

    Arguments:
        lease: The lease to acquire; no background task may renew it at the same time.

    Raises:
        LeaseHeld: Another agent holds the lease.
        StorageUnavailable: The lease record cannot be read.
    """
    patience = lease.seconds * _PATIENCE
    give_up_at = time.monotonic() + patience
    first: Record | None = None
    while True:
        pause = await lease.look()
        if lease.held_lease is not None:
            return
        if first is None and lease.record is not None:
            # The proof of the store ran before this and does not count.
            first, give_up_at = lease.record, time.monotonic() + patience
        if lease.record != first or time.monotonic() > give_up_at:
            raise lease.not_held()
        await anyio.sleep(pause)
