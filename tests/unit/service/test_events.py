"""The queue of events: the most urgent first, one of a kind, and none lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import permutations
from typing import Any

import anyio
import pytest

from raft_snapshot_agent.service.events import (
    ClockSetBack,
    ClockSetForward,
    Due,
    Event,
    EventQueue,
    LeaseAcquired,
    Reload,
    Retire,
    TakeNow,
)
from raft_snapshot_agent.service.wall_clock import WallClockWatch

pytestmark = pytest.mark.anyio

SERVICE: Any = "the new configuration"
URGENT: tuple[Event, ...] = (Reload(SERVICE), LeaseAcquired(), TakeNow())
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Time:
    """A wall clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


async def test_nothing_to_do_is_due_at_its_moment() -> None:
    queue = EventQueue(Time())
    assert await queue.next(NOW) == Due()
    assert await queue.wait(NOW) is False


@pytest.mark.parametrize("order", list(permutations(URGENT)))
async def test_whatever_comes_first_the_most_urgent_is_next(order: tuple[Event, ...]) -> None:
    queue = EventQueue(Time())
    for event in order:
        queue.put(event)
    assert [await queue.next(NOW) for _ in range(4)] == [*URGENT, Due()]


async def test_two_of_a_kind_are_one_and_the_newer_stands() -> None:
    queue = EventQueue(Time())
    newer: Any = "a newer configuration"
    for event in (TakeNow(), Reload(SERVICE), TakeNow(), Reload(newer)):
        queue.put(event)
    assert [await queue.next(NOW) for _ in range(3)] == [Reload(newer), TakeNow(), Due()]


async def test_who_is_retired_stays_so_whatever_else_comes() -> None:
    queue = EventQueue(Time())
    queue.put(TakeNow())
    assert not queue.retired
    queue.put(Retire())
    queue.put(Reload(SERVICE))
    assert queue.retired
    assert [await queue.next(NOW) for _ in range(2)] == [Retire(), Retire()]


async def test_an_event_ends_the_wait_and_is_still_there() -> None:
    queue = EventQueue(Time())
    ended: list[bool] = []

    async def wait() -> None:
        ended.append(await queue.wait(NOW + timedelta(days=1)))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not ended
            queue.put(TakeNow())
    assert ended == [True]
    assert await queue.wait(NOW + timedelta(days=1)) is True
    assert await queue.next(NOW + timedelta(days=1)) == TakeNow()


async def test_one_that_was_taken_out_wakes_nobody_later() -> None:
    queue = EventQueue(Time())
    queue.put(TakeNow())
    assert await queue.next(NOW) == TakeNow()
    with anyio.move_on_after(0.05) as scope:
        await queue.next(NOW + timedelta(days=1))
    assert scope.cancelled_caught


async def test_a_host_that_was_suspended_goes_by_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.service.events.SLICE", 0.01)
    time = Time()
    # The time since boot goes on as well.
    watch = partial(WallClockWatch, uptime=lambda: time.now - NOW)
    monkeypatch.setattr("raft_snapshot_agent.service.events.WallClockWatch", watch)
    queue = EventQueue(time)
    found: list[Event] = []

    async def wait() -> None:
        found.append(await queue.next(NOW + timedelta(hours=1)))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.05)
            assert not found
            time.now += timedelta(hours=2)
    assert found == [Due()]


async def test_who_waits_long_shows_that_he_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_snapshot_agent.service.events.SLICE", 0.01)
    beats: list[None] = []
    queue = EventQueue(Time(), lambda: beats.append(None))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.wait, NOW + timedelta(days=1))
            while len(beats) < 3:  # noqa: ASYNC110 - it is the number that is waited for
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("wait", ["next", "wait"])
async def test_a_wall_clock_that_is_set_back_is_an_event(
    monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.service.events.SLICE", 0.01)
    time = Time()
    queue = EventQueue(time)
    found: list[Event] = []

    async def wait_for_hours() -> None:
        if wait == "wait":
            assert await queue.wait(NOW + timedelta(hours=1)) is True
        found.append(await queue.next(NOW + timedelta(hours=1)))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_hours)
            await anyio.wait_all_tasks_blocked()
            time.now -= timedelta(days=2)
    (event,) = found
    assert isinstance(event, ClockSetBack)
    assert timedelta(days=2) <= event.by < timedelta(days=2, minutes=2)


async def test_a_clock_that_was_set_back_during_a_run_is_noticed_after_it() -> None:
    time = Time()
    queue = EventQueue(time)
    time.now -= timedelta(hours=1)
    assert isinstance(await queue.next(NOW), ClockSetBack)
    assert await queue.next(time.now) == Due()


async def test_a_clock_that_was_set_forward_is_an_event_before_what_is_due_by_it() -> None:
    time = Time()
    queue = EventQueue(time)
    time.now += timedelta(hours=1)
    found = await queue.next(NOW)
    assert isinstance(found, ClockSetForward)
    assert timedelta(minutes=59) < found.by <= timedelta(hours=1)
    assert await queue.next(NOW) == Due()
