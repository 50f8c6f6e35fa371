"""Resolve the state of a snapshot whose upload failed but may have arrived."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from raft_snapshot_agent.backup.finish import finish
from raft_snapshot_agent.backup.lookup import is_there, read_history_before
from raft_snapshot_agent.backup.run_context import Unsettled
from raft_snapshot_agent.core.snapshots.snapshot import NO_TIME, Manifest
from raft_snapshot_agent.core.state.report import Delivery
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError, LeaseLost, StorageError

if TYPE_CHECKING:  # imported only if a lease is configured
    from raft_snapshot_agent.lease.holder import Lease


async def settle(
    destination: Destination,
    unsettled: Unsettled,
    lease: Lease | None,
    clock: Callable[[], datetime],
) -> None:
    """Check whether a snapshot arrived whose upload failed, and complete it if so.

    Arguments:
        destination: The storage.
        unsettled: Snapshots whose state is not known yet.
        lease: Decides whether the snapshot counts, if configured.
        clock: Returns the present time.
    """
    if (manifest := unsettled.doubtful.get(destination.name)) is None or destination.replaces:
        return
    there = await is_there(destination, manifest)
    if there is False:
        del unsettled.doubtful[destination.name]
    if not there:
        return
    if lease and not await _confirm_or_withdraw(destination, manifest, lease, unsettled):
        return
    before = await read_history_before(destination, manifest)
    await finish(destination, manifest, before, Delivery(destination.name, ""), unsettled, clock)
    del unsettled.doubtful[destination.name]


async def _confirm_or_withdraw(
    destination: Destination, manifest: Manifest, lease: Lease, unsettled: Unsettled
) -> bool:
    """Confirm it in the lease record; delete it if another agent took one instead.

    Returns:
        Whether it counts.
    """
    taken_at = datetime.fromisoformat(manifest.taken_at)
    recorded = lease.stored.get(destination.name, NO_TIME)
    try:
        if recorded > taken_at:
            raise lease.lost()
        if recorded < taken_at:
            if lease.held_lease is None:
                return False
            await lease.held_lease.confirm(destination.name, taken_at)
    except LeaseLost:
        with suppress(StorageError):
            await destination.storage.delete(manifest.snapshot)
            del unsettled.doubtful[destination.name]
        return False
    except AgentError:
        return False
    return True
