"""A single run waits for the lease, but not for an agent that is alive."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from tests.unit.lease.shelf import Shelf

from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.lease.acquire import take
from raft_snapshot_agent.lease.candidacy import Candidacy
from raft_snapshot_agent.lease.holder import Lease

pytestmark = pytest.mark.anyio

DURATION = timedelta(seconds=0.6)


async def test_the_time_that_the_proof_takes_is_not_taken_from_that_for_the_holder(
    shelf: Shelf,
) -> None:
    shelf.put(Record("one that is gone", 1, 0, DURATION.total_seconds()))

    async def prove() -> None:
        await anyio.sleep(2 * DURATION.total_seconds())

    lease = Lease(shelf, "me", DURATION, candidacy=Candidacy(prove=prove))
    await take(lease)
    assert shelf.record.holder == "me"
