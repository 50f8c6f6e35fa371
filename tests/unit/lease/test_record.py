"""Whoever may write into the storage may write anything into the record."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.lease.shelf import Hours, Shelf

from raft_snapshot_agent.core.leases.lease_record import RECORD_LIMIT, Record
from raft_snapshot_agent.errors import LeaseLost
from raft_snapshot_agent.lease.clock import Clock
from raft_snapshot_agent.lease.holder import Lease

FIRST = Record("first", 3, 7, 15.0, "2026-11-25T12:00:00Z", {"s3": "2026-11-25T12:00:00+00:00"})
UNKNOWN = Record("unknown", 0, 0, 60.0)
FIELDS = json.loads(FIRST.to_json())


def read(**fields: Any) -> Record:
    return Record.from_json(json.dumps(FIELDS | fields).encode())


def test_what_an_agent_writes_is_read_as_it_was() -> None:
    assert Record.from_json(FIRST.to_json()) == FIRST


@pytest.mark.parametrize(
    "fields",
    [
        {"holder": 7},
        {"holder": None},
        {"holder": "x" * 1000},
        {"holder": "All is well\nerror"},
        {"holder": "\x1b[2J"},
        {"term": -1},
        {"term": 1.5},
        {"term": True},
        {"term": 2**70},
        {"term": "3"},
        {"beat": 2**40},
        {"beat": None},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"seconds": "15"},
        {"seconds": True},
        {"seconds": 10**400},
    ],
)
def test_a_record_no_agent_wrote_is_somebodys_for_a_while(fields: dict[str, Any]) -> None:
    assert read(**fields) == UNKNOWN


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 10**5, b'"x"'])
def test_what_is_no_record_is_somebodys_for_a_while(text: bytes) -> None:
    assert Record.from_json(text) == UNKNOWN


def test_a_huge_one_is_somebodys_for_a_while() -> None:
    stored = {f"storage-{number}": FIRST.stored["s3"] for number in range(3000)}
    text = json.dumps(FIELDS | {"stored": stored}).encode()
    assert len(text) > RECORD_LIMIT
    assert Record.from_json(text) == UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "taken"), [(0, 1.0), (-5, 1.0), (1e9, 3600.0), (10**300, 3600.0), (2.5, 2.5)]
)
def test_a_duration_is_one_that_can_be_configured(seconds: float, taken: float) -> None:
    assert read(seconds=seconds).seconds == taken


@pytest.mark.parametrize(
    "when",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59+00:00",
        "1970-01-01T00:00:00+00:00",
        "2026-11-25T12:00:00",
        "soon",
        "2026-11-25T12:00:00+00:00" + " " * 1000,
        7,
        None,
        ["2026-11-25T12:00:00+00:00"],
    ],
)
def test_a_moment_no_snapshot_can_have_is_left_out(when: Any) -> None:
    record = read(stored={"s3": when, "disk": FIRST.stored["s3"]}, taken_at=when)
    assert record.stored_at() == {"disk": datetime(2026, 11, 25, 12, tzinfo=UTC)}
    assert record.taken_at == ""


@pytest.mark.parametrize("stored", [None, [], "x", 7])
def test_what_is_no_mapping_stores_nothing(stored: Any) -> None:
    assert read(stored=stored).stored_at() == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), JSON) | JSON)
def test_whatever_is_written_can_be_read_and_taken_over(fields: Any) -> None:
    document = FIELDS | fields if isinstance(fields, dict) else fields
    record = Record.from_json(json.dumps(document).encode())
    record.stored_at()
    mine = Record("me", record.term + 1, 0, 15.0, "", record.stored)
    assert len(mine.renewed({}).to_json()) < 2 * RECORD_LIMIT
    assert record.holder.isprintable()
    assert 1 <= record.seconds <= 3600


# What an agent makes of it.

pytestmark = pytest.mark.anyio
LATER = "2026-11-25T13:00:00+00:00"


def lease(shelf: Shelf, hours: Hours, name: str, seconds: float = 10, **more: Any) -> Lease:
    return Lease(shelf, name, timedelta(seconds=seconds), clock=Clock(now=hours), **more)


async def test_a_shorter_time_that_somebody_wrote_is_not_kept(shelf: Shelf, hours: Hours) -> None:
    first, second = lease(shelf, hours, "first"), lease(shelf, hours, "second")
    await first.look()
    await second.look()
    shelf.forge(seconds=1.0)
    await second.look()
    hours.now += 8
    await second.look()
    assert second.held_lease is None, "its holder believes in nine seconds"
    await first.look()
    assert shelf.record.seconds == 10
    assert first.held_lease is not None


async def test_a_shorter_time_is_not_believed_at_first_sight_either(
    shelf: Shelf, hours: Hours
) -> None:
    first, second = lease(shelf, hours, "first"), lease(shelf, hours, "second")
    await first.look()
    shelf.forge(seconds=1.0)
    await second.look()
    hours.now += 8
    await second.look()
    assert (first.held_lease is not None, second.held_lease) == (True, None)


async def test_agents_with_other_durations_wait_for_the_longer(shelf: Shelf, hours: Hours) -> None:
    slow, quick = lease(shelf, hours, "slow", 60), lease(shelf, hours, "quick", 2)
    await slow.look()
    await quick.look()
    for _ in range(5):
        hours.now += 10
        await quick.look()
        assert (slow.held_lease is not None, quick.held_lease) == (True, None)
    hours.now += 11
    await quick.look()
    assert (slow.held_lease, quick.held_lease is not None) == (None, True)


@pytest.mark.parametrize("forged", [{"beat": 0}, {"beat": 2**31 - 1}, {"seconds": 3600.0}])
async def test_what_somebody_wrote_into_our_record_is_written_over(
    shelf: Shelf, hours: Hours, forged: dict[str, Any]
) -> None:
    first = lease(shelf, hours, "first")
    await first.look()
    await first.look()
    shelf.forge(**forged)
    for _ in range(20):
        hours.now += 3
        await first.look()
        assert first.held_lease is not None
    assert (shelf.record.holder, shelf.record.seconds) == ("first", 10)


@pytest.mark.parametrize("forged", [{"term": 9}, {"holder": "nobody"}, {"holder": ""}])
async def test_who_lost_it_to_a_forgery_takes_it_again_in_time(
    shelf: Shelf, hours: Hours, forged: dict[str, Any]
) -> None:
    first = lease(shelf, hours, "first")
    await first.look()
    old = first.held_lease
    assert old is not None
    shelf.forge(**forged)
    for _ in range(6):
        hours.now += 3
        await first.look()
    assert first.held_lease is not None
    assert not old.held()
    with pytest.raises(LeaseLost):
        await old.confirm("s3", datetime(2026, 11, 25, 13, tzinfo=UTC))


async def test_storages_nobody_has_are_not_carried_on(shelf: Shelf, hours: Hours) -> None:
    first = lease(shelf, hours, "first", storages=["s3"])
    shelf.put(Record("", 1, 1, 10.0, "", {"s3": LATER, "ghost": LATER}))
    assert first.stored == {}
    await first.look()
    assert set(first.stored) == {"s3"}
    assert set(shelf.record.stored) == {"s3"}
    shelf.forge(stored={"s3": LATER, "ghost": LATER})
    await first.look()
    assert set(shelf.record.stored) == {"s3"}
