"""Who holds the lease: whose store is proven, whose node leads, and who succeeds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.lease.shelf import Hours, Shelf

from raft_snapshot_agent.errors import (
    AgentError,
    LeaseFree,
    LeaseHeld,
    NotLeader,
    StorageUnavailable,
    Unreachable,
    UnreliableStore,
)
from raft_snapshot_agent.lease.candidacy import Candidacy
from raft_snapshot_agent.lease.changes import Changes
from raft_snapshot_agent.lease.clock import Clock
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.observe.log_events import LogEvent

pytestmark = pytest.mark.anyio

DURATION = 10.0


class Asked:
    """Answers with an error while there is one."""

    def __init__(self, error: AgentError | None = None) -> None:
        self.error = error
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1
        if self.error is not None:
            raise self.error


def lease(shelf: Shelf, hours: Hours, name: str, **candidacy: Any) -> Lease:
    clock = Clock(now=hours, spread=lambda: 1.0)
    duration = timedelta(seconds=DURATION)
    return Lease(shelf, name, duration, clock=clock, candidacy=Candidacy(**candidacy))


def held(lease: Lease) -> bool:
    return lease.held_lease is not None


async def fail(lease: Lease, times: int = 1) -> None:
    for _ in range(times):
        await lease.count(failed=True)


# The proof.


async def test_a_store_is_proven_once_before_anything_is_written(
    shelf: Shelf, hours: Hours
) -> None:
    proof = Asked()
    first = lease(shelf, hours, "first", prove=proof)
    for _ in range(10):
        await first.look()
        hours.now += 3
    assert (proof.times, first.held_lease is not None) == (1, True)


async def test_a_store_that_fails_its_proof_is_written_nothing_and_left_in_peace(
    shelf: Shelf, hours: Hours
) -> None:
    proof = Asked(UnreliableStore("it lies"))
    first = lease(shelf, hours, "first", prove=proof)
    changes = Changes()
    said = []
    for _ in range(100):
        await first.look()
        said += [text for _, *text in changes.of(first)]
        hours.now += 3
    assert (proof.times, shelf.writes, first.held_lease) == (1, 0, None)
    assert said == [["error", "No snapshots while the lease is kept there: it lies"]]
    assert (type(first.not_held()), first.not_held().exit_code) == (UnreliableStore, 2)
    proof.error = None
    hours.now += 600
    await first.look()
    assert held(first)


async def test_a_proof_that_was_not_finished_is_tried_again_soon(
    shelf: Shelf, hours: Hours
) -> None:
    proof = Asked(StorageUnavailable("no answer"))
    first = lease(shelf, hours, "first", prove=proof)
    await first.look()
    assert isinstance(first.not_held(), StorageUnavailable)
    proof.error = None
    await first.look()
    assert held(first)


# Giving away.


async def test_who_fails_too_often_gives_it_to_another(shelf: Shelf, hours: Hours) -> None:
    first, second = lease(shelf, hours, "first"), lease(shelf, hours, "second")
    changes = Changes()
    await first.look()
    await second.look()
    changes.of(first)
    await fail(first, 2)
    await first.count(failed=False)
    await fail(first, 2)
    assert held(first), "not in a row"
    await fail(first)
    assert (held(first), shelf.record.free) == (False, True)
    why = "the last 3 runs failed, another agent may do better"
    assert changes.of(first) == [
        (LogEvent.LEASE_GIVEN_AWAY, "info", f"Released the lease in the shelf: {why}.")
    ]
    assert isinstance(first.not_held(), LeaseFree)
    hours.now += 3
    await first.look()
    assert shelf.record.free
    await second.look()
    assert held(second)
    hours.now += 3
    await first.look()
    assert (held(first), str(first.not_held())) == (False, "second holds the lease in the shelf")


async def test_who_failed_lets_others_go_first_until_it_succeeds(
    shelf: Shelf, hours: Hours
) -> None:
    first, second = lease(shelf, hours, "first"), lease(shelf, hours, "second")
    await first.look()
    await fail(first, 3)
    await second.look()
    await first.look()
    await fail(second, 3)
    await first.look()
    assert not held(first), "a third one may be well"
    hours.now += 2 * DURATION
    await first.look()
    assert held(first)
    await first.count(failed=False)
    await first.release()
    await first.look()
    assert held(first)


async def test_who_failed_takes_over_at_once_from_one_that_is_gone(
    shelf: Shelf, hours: Hours
) -> None:
    first, second = lease(shelf, hours, "first"), lease(shelf, hours, "second")
    await first.look()
    await fail(first, 3)
    await second.look()
    await first.look()
    hours.now += DURATION
    await first.look()
    assert held(first)


async def test_what_nobody_takes_is_taken_again(shelf: Shelf, hours: Hours) -> None:
    first = lease(shelf, hours, "first", max_failures=1)
    await first.look()
    await fail(first)
    pauses = []
    while first.held_lease is None:
        pauses.append(await first.look())
        hours.now += pauses[-1]
    assert hours.now == pytest.approx(2 * DURATION, rel=0.5)
    assert min(pauses) > DURATION / 5, "it does not look all the time"
    assert first.gave_away == ""


@pytest.mark.parametrize("landed", [False, True])
async def test_a_giving_away_whose_answer_was_lost_is_meant_all_the_same(
    shelf: Shelf, hours: Hours, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    first = lease(shelf, hours, "first")
    await first.look()
    write = shelf.write

    async def lose(*arguments: Any) -> str | None:
        if landed:
            await write(*arguments)
        raise StorageUnavailable("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(shelf, "write", lose)
        await fail(first, 3)
    assert not held(first)
    await first.look()
    assert (held(first), shelf.record.free) == (False, True)


async def test_runs_of_whoever_does_not_hold_it_do_not_count(shelf: Shelf, hours: Hours) -> None:
    first, second = lease(shelf, hours, "first"), lease(shelf, hours, "second", max_failures=1)
    await first.look()
    await second.look()
    await fail(second, 5)
    await first.release()
    await second.look()
    assert held(second)


async def test_runs_that_failed_for_want_of_the_lease_do_not_count(
    shelf: Shelf, hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the holder stands back after a short outage of the store of the lease alone."""
    first = lease(shelf, hours, "first")
    await first.look()
    term = shelf.record.term

    async def lose(*_: Any) -> str | None:
        raise StorageUnavailable("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(shelf, "write", lose)
        with pytest.raises(StorageUnavailable):
            await first.confirm(term, {"s3": "2026-11-27T22:00:00Z"})
        await fail(first)
        for _ in range(4):
            hours.now += DURATION / 2
            await first.look()
            await fail(first)
    await first.look()
    assert held(first)
    assert shelf.record.term == term


async def test_a_lease_that_was_deleted_is_told_so(shelf: Shelf, hours: Hours) -> None:
    first, changes = lease(shelf, hours, "first"), Changes()
    await first.look()
    changes.of(first)
    shelf.found = None
    hours.now += 3
    await first.look()
    said = (
        "Lost the lease in the shelf: somebody deleted it; no snapshots until it is acquired again."
    )
    assert changes.of(first) == [(LogEvent.LEASE_LOST, "warning", said)]


# Whose node leads.


async def test_beside_a_standby_it_is_neither_taken_nor_kept(shelf: Shelf, hours: Hours) -> None:
    leads = Asked()
    first = lease(shelf, hours, "first", qualify=leads)
    changes = Changes()
    await first.look()
    changes.of(first)
    leads.error = NotLeader("node 2 leads")
    hours.now += 3
    await first.look()
    assert (held(first), shelf.record.free) == (False, True)
    assert changes.of(first) == [
        (LogEvent.LEASE_GIVEN_AWAY, "info", "Released the lease in the shelf: node 2 leads.")
    ]
    pauses = [await first.look() for _ in range(5)]
    assert shelf.record.free
    assert min(pauses) > DURATION / 5
    assert isinstance(first.not_held(), NotLeader), "as it is told without a lease"
    leads.error = None
    await first.look()
    assert held(first)


async def test_a_node_that_does_not_answer_is_told_as_a_failure(shelf: Shelf, hours: Hours) -> None:
    first = lease(shelf, hours, "first", qualify=Asked(Unreachable("no connection")))
    await first.look()
    assert isinstance(first.not_held(), Unreachable)
    other = lease(shelf, hours, "other")
    await other.look()
    await first.look()
    assert isinstance(first.not_held(), LeaseHeld), "another agent works"


async def test_who_lost_it_does_not_name_itself_as_the_holder(shelf: Shelf, hours: Hours) -> None:
    first = lease(shelf, hours, "first")
    await first.look()
    assert first.holder == "first"
    hours.now += DURATION
    assert (held(first), first.holder) == (False, "")
    assert isinstance(first.not_held(), LeaseFree)
    shelf.forge(term=7)
    await first.look()
    assert (held(first), first.holder) == (False, "")
    assert isinstance(first.not_held(), LeaseFree)
    assert "first" not in f"{first.not_held()} {first.lost()}"


async def test_a_run_that_is_under_way_keeps_it(shelf: Shelf, hours: Hours) -> None:
    leads = Asked()
    first = lease(shelf, hours, "first", qualify=leads)
    await first.look()
    leads.error = NotLeader("node 2 leads")
    with first.in_use():
        hours.now += 3
        await first.look()
        assert held(first)
    await first.look()
    assert not held(first)


async def test_a_run_that_begins_while_the_node_is_asked_keeps_it(
    shelf: Shelf, hours: Hours
) -> None:
    running = []

    class Slow(Asked):
        async def __call__(self) -> None:
            running.append(first.in_use())
            running[-1].__enter__()
            await super().__call__()

    asked = Asked()
    first = lease(shelf, hours, "first", qualify=asked)
    await first.look()
    first._candidacy._qualify = Slow(NotLeader("node 2 leads"))
    await first.look()
    assert held(first)


async def test_a_lost_lease_is_told_in_plain_words(shelf: Shelf, hours: Hours) -> None:
    first, changes = lease(shelf, hours, "first"), Changes()
    await first.look()
    assert changes.of(first) == [
        (LogEvent.LEASE_ACQUIRED, "info", "Acquired the lease in the shelf.")
    ]
    assert changes.acquired
    assert changes.of(first) == []
    assert not changes.acquired
    shelf.forge(holder="second", term=2)
    await first.look()
    said = "Lost the lease in the shelf: second took it; no snapshots until it is acquired again."
    assert changes.of(first) == [(LogEvent.LEASE_LOST, "warning", said)]
