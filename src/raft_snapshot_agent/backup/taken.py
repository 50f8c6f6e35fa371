"""Lists the content of the storages before a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import anyio

from raft_snapshot_agent.backup.run_context import Unsettled
from raft_snapshot_agent.backup.settle import settle
from raft_snapshot_agent.core.state.freshness import newest_times
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.holdings import survey, unlisted

if TYPE_CHECKING:  # imported only if a lease is configured
    from raft_snapshot_agent.lease.holder import Lease

_LIST_WITHIN = 30.0
"""Maximum seconds to list a storage, so that one that hangs does not delay others."""


async def list_newest(
    destinations: Sequence[Destination],
    unsettled: Unsettled,
    lease: Lease | None,
    clock: Callable[[], datetime],
    surveys: dict[str, Survey],
) -> dict[str, list[datetime]]:
    """Return for each storage when its newest snapshot was taken, and those dated in the future.

    Arguments:
        destinations: The storages.
        unsettled: Stored snapshots whose state is not known yet.
        lease: Its record contains snapshots that the storages do not list; `None`: no lease
            is configured.
        clock: Returns the present time.
        surveys: Receives the content of each storage.
    """
    times: dict[str, list[datetime]] = {}

    async def list_one(destination: Destination) -> None:
        # If this fails, the delivery reports it.
        with anyio.move_on_after(_LIST_WITHIN), suppress(Exception):
            await settle(destination, unsettled, lease, clock)
        try:
            with anyio.fail_after(_LIST_WITHIN):
                stored, now = await destination.current(), clock()
                found = newest_times(stored, now, vouched=lease is not None)
                if found is not None:
                    times[destination.name] = found
                surveys[destination.name] = await survey(destination, stored, now)
        except Exception as error:  # noqa: BLE001 - the delivery reports it
            surveys[destination.name] = unlisted(error)

    async with anyio.create_task_group() as tasks:
        for destination in destinations:
            tasks.start_soon(list_one, destination)
    for name, taken_at in {} if lease is None else lease.stored.items():
        times.setdefault(name, []).append(taken_at)
    return times
