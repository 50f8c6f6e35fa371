"""What an agent that lost the lease began is not completed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.backup.fencing import FencedSource
from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import LeaseLost
from raft_snapshot_agent.lease.clock import Clock
from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.storage.local.local import LocalStorage

SNAPSHOT = BytesSource(b"a snapshot" * 1000)
TAKEN_AT = datetime(2026, 11, 25, 12, tzinfo=UTC)

pytestmark = pytest.mark.anyio


class Shelf:
    """A record within reach of the test."""

    location = "the shelf"

    def __init__(self) -> None:
        self.found: Versioned | None = None

    async def read(self) -> Versioned | None:
        return self.found

    async def close(self) -> None: ...

    async def write(self, record: Record, expected: str | None) -> str | None:
        if expected != (self.found and self.found.version):
            return None
        self.found = Versioned(record, str(int(expected or 0) + 1))
        return self.found.version


class Hours:
    """A clock that the test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def lease(shelf: Shelf, hours: Hours) -> Lease:
    return Lease(shelf, "first", timedelta(seconds=10), clock=Clock(now=hours))


@pytest.fixture
async def held_lease(lease: Lease) -> HeldLease:
    await lease.look()
    assert lease.held_lease
    return lease.held_lease


async def _taken_over(shelf: Shelf, hours: Hours) -> Lease:
    other = Lease(shelf, "second", timedelta(seconds=10), clock=Clock(now=hours))
    await other.look()
    hours.now += 11
    await other.look()
    assert other.held_lease
    return other


async def test_while_it_is_held_a_snapshot_passes(held_lease: HeldLease) -> None:
    storage = MemoryStorage()
    await storage.put("a", FencedSource(SNAPSHOT, held_lease))
    assert [entry.size for entry in await storage.entries()] == [10_000]


async def test_nothing_stays_of_an_upload_that_outlasts_the_lease(
    held_lease: HeldLease, hours: Hours, tmp_path: Path
) -> None:
    hours.now += 9.5  # not renewed for more than nine tenths of its time
    with pytest.raises(LeaseLost, match="lost the lease in the shelf: it was not renewed in time"):
        await LocalStorage(tmp_path).put("a", FencedSource(SNAPSHOT, held_lease))
    assert await LocalStorage(tmp_path).entries() == []


async def test_what_is_confirmed_is_in_the_record_of_whoever_comes_next(
    held_lease: HeldLease, shelf: Shelf, hours: Hours
) -> None:
    await held_lease.confirm("disk", TAKEN_AT)
    other = await _taken_over(shelf, hours)
    assert other.stored == {"disk": TAKEN_AT}


async def test_nothing_is_confirmed_after_another_took_over(
    held_lease: HeldLease, shelf: Shelf, hours: Hours
) -> None:
    other = await _taken_over(shelf, hours)
    with pytest.raises(LeaseLost, match="second took it"):
        await held_lease.confirm("disk", TAKEN_AT)
    assert other.stored == {}


async def test_nothing_of_an_earlier_tenure_is_confirmed_in_a_later_one(
    lease: Lease, held_lease: HeldLease, shelf: Shelf, hours: Hours
) -> None:
    other = await _taken_over(shelf, hours)
    await lease.look()
    await other.release()
    await lease.look()
    assert lease.held_lease
    assert not held_lease.held()
    with pytest.raises(LeaseLost):
        await held_lease.confirm("disk", TAKEN_AT)
